package manager

import (
	"context"

	"ossecd/manager/stock"
	"ossecd/manager/syslog"
)

// service is a way in or out besides agents' datagrams. It is open; run works until its context ends and closes it, close is
// for where there will be no run.
type service struct {
	run   func(context.Context)
	close func()
}

// openServices opens those that the configuration asks for, or none.
func (m *manager) openServices() (services []service, err error) {
	defer func() {
		if err != nil {
			closeServices(services)
		}
	}()
	if m.orders.voice, err = m.newVoice(); err != nil {
		return services, err
	}
	m.orders.m = m
	if len(m.cfg.groups) > 0 {
		if m.pusher, err = m.newPusher(m.cfg.groups); err != nil {
			return services, err
		}
		services = append(services, service{m.pusher.run, func() {}})
	}
	if m.syslog, err = syslog.Open(m.cfg.syslog, m.sinks, m.log); err != nil {
		return services, err
	}
	services = append(services, service{m.syslog.Run, m.syslog.Close})
	enrolment, err := m.openEnrolment()
	if err != nil {
		return services, err
	}
	services = append(services, enrolment...)
	if m.cfg.Control != "" {
		if c, err := m.openControl(); err != nil { // events matter more
			m.log.Warn("there is no control socket", "err", err)
		} else {
			services = append(services, service{c.run, func() { c.socket.Close() }})
		}
	}
	if m.cfg.OssecHome == "" {
		return services, nil
	}
	if m.info, err = stock.OpenAgentInfo(m.cfg.stock(), m.limited); err != nil {
		return services, err
	}
	services = append(services, service{m.info.Run, m.info.Close})
	queue, err := stock.ListenAR(m.cfg.stock(), m.log)
	if err != nil {
		return services, err
	}
	return append(services, service{func(ctx context.Context) { stock.ServeAR(ctx, queue, m.obey, m.limited) }, queue.Close}), nil
}

func closeServices(services []service) {
	for _, d := range services {
		d.close()
	}
}
