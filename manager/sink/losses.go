package sink

import (
	"cmp"
	"fmt"
	"time"

	"ossecd/keys/limitlog"
	"ossecd/manager/journal"
)

// tellFirst is after what time a loss is told, with those that came meanwhile. The next of the same agent or sink follows a minute
// later, summed up, since an agent can bring losses about as often as it likes.
const tellFirst = time.Second

// tell reports losses as events, and logs them, until Close.
func (s *Sinks) tell() {
	for rest := false; ; {
		timer := time.NewTimer(tellFirst)
		if !rest {
			timer.Stop()
			select {
			case <-s.closing:
			case <-s.journal.LossesSoon():
				timer.Reset(tellFirst)
			}
		}
		select {
		case <-s.closing:
			timer.Stop()
			s.tellLosses(func(*limitlog.Limit) bool { return true })
			return
		case <-timer.C:
		}
		now := time.Now()
		rest = false
		s.tellLosses(func(told *limitlog.Limit) bool {
			due := told.Due(now)
			rest = rest || !due
			return due
		})
	}
}

// tellLosses reports losses of agents and sinks that are due, by when they may be told again.
func (s *Sinks) tellLosses(due func(told *limitlog.Limit) bool) {
	var l Lot
	report := func(about *Agent, details string, n uint64, format string, args ...any) {
		l.Report(about, nil, time.Now(), "ossecd: "+fmt.Sprintf(format, args...), Report{Lost, n, details})
	}
	for _, loss := range s.journal.Losses(func(a *journal.Account) bool { return due(&a.Owner.(*Agent).told) }) {
		if loss.Account == nil {
			report(nil, "", loss.Full, "%d events lost: the journal could not take them.", loss.Full)
			s.log.Error("events lost: the journal could not take them", "count", loss.Full, "remedy", "look at the disk of the journal")
			continue
		}
		a := loss.Account.Owner.(*Agent)
		about, whose := a, "'"+a.Name+"-"+a.IP+"'"
		if a.ID == "" {
			about, whose = nil, a.called
		}
		if n := loss.Crowded; n > 0 {
			report(about, "", n, "%d events of %s lost: it sent more than its share.", n, whose)
			s.log.Error("an agent floods: events of it are lost", "agent", cmp.Or(a.ID, a.called), "name", a.Name, "count", n,
				"remedy", "find out what the host logs so much of; --agent-share sets how much of what waits may be of one agent")
		}
		if n := loss.Full; n > 0 {
			report(about, "", n, "%d events of %s lost: the journal could not take them.", n, whose)
			s.log.Error("events lost: the journal could not take them", "agent", cmp.Or(a.ID, a.called), "name", a.Name, "count", n,
				"remedy", "look at the disk of the journal")
		}
	}
	for _, d := range s.list {
		d.crowd.take(due, func(a *Agent, n uint64) {
			about, whose := a, "'"+a.Name+"-"+a.IP+"'"
			if a.ID == "" {
				about, whose = nil, "further agents"
			}
			report(about, d.Filter.own, n, "%d events of %s lost: their reader was too slow, and it sent more than its share.", n, whose)
			s.log.Error("events of an agent that sends much are lost: what reads them is too slow, or away", "agent", a.ID, "name", a.Name, "events", d.Name, "count", n,
				"remedy", "find out what the host logs so much of, and why the sink takes it no faster")
		})
		if d.from.Untold(false) == 0 || !due(&d.lossesTold) {
			continue
		}
		n := d.from.Untold(true)
		report(nil, d.Filter.own, n, "%d events lost: their reader was too slow.", n)
		s.log.Error("events are lost: what reads them is too slow, or away", "events", d.Name, "count", n,
			"remedy", "see why it takes them no faster; queue = in its table sets how far it may fall behind")
	}
	if l.Len() > 0 {
		s.Put(&l, false)
	}
}
