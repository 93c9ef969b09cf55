package tokens

import (
	"time"

	"go.uber.org/zap"
)

// outage is the time in which a provider does not answer. Nobody waits for such a provider: its
// sessions go on as they are, and one renewal at a time finds out whether it is back.
type outage struct {
	failures int       // that followed each other
	at       time.Time // of the last failure
	until    time.Time // when the next renewal may start
}

// admits reports whether a renewal may ask the provider of a login now. In an outage, it lets the next
// one wait until this one is known. The caller holds m.mu.
func (m *Manager) admits(loginID string, now time.Time) bool {
	o := m.outages[loginID]
	if o == nil {
		return true
	}
	if now.Before(o.until) {
		return false
	}
	o.until = now.Add(askTimeout)
	return true
}

// recordOutage records that the provider of a login did not answer a question that was asked at a
// time, and wakes whoever waits for it. A question that is older than the last failure says nothing
// new: many are asked at once.
func (m *Manager) recordOutage(loginID string, asked time.Time, cause error) {
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	o := m.outages[loginID]
	switch {
	case o == nil:
		o = new(outage)
		m.outages[loginID] = o
		m.log.Warn("provider renews no tokens; its sessions go on without it", zap.String("login", loginID), zap.Error(cause))
	case asked.Before(o.at):
		return
	}
	o.at, o.until = now, now.Add(pauseAfter(o.failures))
	o.failures++
	for _, r := range m.renewals {
		if r.login == loginID {
			r.cancel()
		}
	}
}

// retryOutage lets the next renewal start. The outage goes on: the provider answers, and takes longer
// than people wait.
func (m *Manager) retryOutage(loginID string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if o := m.outages[loginID]; o != nil {
		o.until = m.now()
	}
}

// endOutage records that the provider of a login answers.
func (m *Manager) endOutage(loginID string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.outages[loginID] != nil {
		delete(m.outages, loginID)
		m.log.Info("provider renews tokens again", zap.String("login", loginID))
	}
}

// pauseAfter returns the pause after a number of earlier failures in a row.
func pauseAfter(failures int) time.Duration {
	return min(firstSetback<<min(failures, 16), maxSetback)
}
