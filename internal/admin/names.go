package admin

import (
	"net/http"

	"go.uber.org/zap"
)

// getName answers which account of a provider a user name belongs to.
func (s *server) getName(w http.ResponseWriter, r *http.Request, _ query) error {
	name := r.PathValue("name")
	account, held, err := s.Names.Holder(r.Context(), name)
	if err != nil {
		return err
	}
	if !held {
		return errNoName
	}
	return writeJSON(w, http.StatusOK, HeldName{name, account})
}

// releaseName frees a user name for the next account that signs in with it. Sessions of the
// previous owner continue and keep the name.
func (s *server) releaseName(w http.ResponseWriter, r *http.Request, _ query) error {
	name := r.PathValue("name")
	account, held, err := s.Names.Release(r.Context(), name)
	if err != nil {
		return err
	}
	if !held {
		return errNoName
	}
	s.audit.line(r, actionReleaseName, zap.String("user_name", name), zap.String("account", account))
	return writeJSON(w, http.StatusOK, HeldName{name, account})
}
