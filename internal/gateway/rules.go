package gateway

import (
	"slices"
	"strings"

	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/login/password"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// reservedNames returns the user names that rules let in. Nobody may choose such a name: the person
// it is meant for may not have an account yet.
func reservedNames(rules session.Policy) (names []string) {
	for _, rule := range rules {
		if rule.Kind == session.RequireUser {
			names = append(names, rule.Values...)
		}
	}
	return names
}

// warnUnmetRules logs each value of a rule that no account has, such as a misspelt group. It logs
// nothing where a provider decides, because only the provider knows its accounts.
func (g *Gateway) warnUnmetRules(rules session.Policy) {
	type value struct {
		kind        session.Kind
		claim, text string
	}
	accounts := g.knownAccounts()
	seen := make(map[value]bool)
	for _, rule := range rules {
		for _, text := range rule.Values {
			v := value{rule.Kind, rule.Claim, text}
			if seen[v] {
				continue
			}
			seen[v] = true
			single := session.Rule{Kind: rule.Kind, Claim: rule.Claim, Values: []string{text}}
			if slices.ContainsFunc(accounts, single.Holds) || g.mayHold(single) {
				continue
			}
			fields := []zap.Field{zap.String("require", string(rule.Kind)), zap.String("value", text)}
			if rule.Claim != "" {
				fields = append(fields, zap.String("claim", rule.Claim))
			}
			g.log.Warn("no account has what a require line asks for: check its spelling", fields...)
		}
	}
}

// knownAccounts returns the accounts of all password logins.
func (g *Gateway) knownAccounts() (accounts []*session.Identity) {
	for _, method := range g.logins.All() {
		if m, ok := method.(*password.Method); ok {
			accounts = append(accounts, m.Configured()...)
		}
	}
	if m := passwordMethod(g.logins); m != nil {
		for _, u := range g.db.Users.All() {
			accounts = append(accounts, u.Identity(m.ID()))
		}
	}
	return accounts
}

// mayHold reports whether the rule, which has one value, may hold for an account that is not known
// yet: one of a provider, or of somebody who signs up.
func (g *Gateway) mayHold(rule session.Rule) bool {
	if rule.Kind == session.RequireGroup && g.joins(rule.Values[0]) {
		return true
	}
	providers := g.logins.Providers()
	id, _, named := strings.Cut(rule.Values[0], ":")
	if rule.Kind == session.RequireUser && named {
		return slices.ContainsFunc(providers, func(p login.Provider) bool { return p.ID() == id })
	}
	return len(providers) > 0
}

// joins reports whether people can join the group by signing up. If invitations cannot be read, they
// may.
func (g *Gateway) joins(group string) bool {
	for _, method := range g.logins.All() {
		if m, ok := method.(*password.Method); ok && slices.Contains(m.SignUpGroups(), group) {
			return true
		}
	}
	invitations, err := g.db.Users.Invitations(g.ctx)
	for _, invitation := range invitations {
		if slices.Contains(invitation.Groups, group) {
			return true
		}
	}
	return err != nil
}
