package manager

import (
	"context"
	"fmt"
	"net"
)

// door is a way in or out besides agents' datagrams. It is open; run works until its context ends and closes it, close is
// for where there will be no run.
type door struct {
	run   func(context.Context)
	close func()
}

// openDoors opens those that the configuration asks for, or none.
func (m *manager) openDoors() (doors []door, err error) {
	defer func() {
		if err != nil {
			closeDoors(doors)
		}
	}()
	if m.orders.voice, err = m.newVoice(); err != nil {
		return doors, err
	}
	m.orders.m = m
	if len(m.cfg.groups) > 0 {
		if m.pusher, err = m.newPusher(m.cfg.groups); err != nil {
			return doors, err
		}
		doors = append(doors, door{m.pusher.run, func() {}})
	}
	inputs, packets, err := m.openSyslog()
	if err != nil {
		return doors, err
	}
	doors, m.syslog = append(doors, inputs...), packets
	enrolment, err := m.openEnrolment()
	if err != nil {
		return doors, err
	}
	doors = append(doors, enrolment...)
	if m.cfg.Control != "" {
		if c, err := m.openControl(); err != nil { // events matter more
			m.log.Warn("there is no control socket", "err", err)
		} else {
			doors = append(doors, door{c.run, func() { c.socket.Close() }})
		}
	}
	if m.cfg.OssecHome == "" {
		return doors, nil
	}
	if m.info, err = openAgentInfo(m.cfg.inStock(stockAgentInfo), func(err error) { m.limited.Error("agent information was not written", "err", err) }); err != nil {
		return doors, fmt.Errorf("agent information: %w; is %s the directory of a stock server?", err, m.cfg.OssecHome)
	}
	doors = append(doors, door{m.info.run, func() { m.info.dir.Close() }})
	var queue *net.UnixConn
	if queue, err = listenAR(m.cfg.inStock(stockARQueue)); err != nil {
		return doors, err
	}
	return append(doors, door{func(ctx context.Context) { m.serveAR(ctx, queue) }, func() { queue.Close() }}), nil
}

func closeDoors(doors []door) {
	for _, d := range doors {
		d.close()
	}
}
