package admin

import (
	"context"
	"fmt"
	"net/http"

	"github.com/caddy-multi-session/gateway/storage"
)

// maxProblems bounds how many problems of a damaged store are reported.
const maxProblems = 100

func (s *server) check(w http.ResponseWriter, r *http.Request, _ query) error {
	var found problems
	checked, err := s.checkAll(r.Context(), &found)
	if r.Context().Err() != nil {
		return r.Context().Err()
	}
	if err != nil {
		found.report(err.Error())
	}
	if found.n > 0 {
		if more := found.n - len(found.told); more > 0 {
			found.told = append(found.told, fmt.Sprintf("and %d more", more))
		}
		return &problem{status: http.StatusInternalServerError, message: "the store is not in order", problems: found.told}
	}
	checked.OK = true
	return writeJSON(w, http.StatusOK, checked)
}

// checkAll makes the store check itself, if it can, and reads every record.
func (s *server) checkAll(ctx context.Context, found *problems) (checked Checked, err error) {
	if checker, ok := s.Store.(storage.Checker); ok {
		for _, err := range split(checker.Check(ctx)) {
			found.report(err.Error())
		}
	}
	if checked.Users, err = s.Users.Check(ctx, found.report); err != nil {
		return checked, err
	}
	checked.Jars, checked.Sessions, err = s.Jars.Check(ctx, found.report)
	return checked, err
}

// problems collects what a check has found. Only the first ones are reported.
type problems struct {
	told []string
	n    int
}

func (p *problems) report(problem string) {
	p.n++
	if len(p.told) < maxProblems {
		p.told = append(p.told, problem)
	}
}

// split returns the errors that an error joins.
func split(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, err := range joined.Unwrap() {
		all = append(all, split(err)...)
	}
	return all
}
