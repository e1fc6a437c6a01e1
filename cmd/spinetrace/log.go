package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"time"

	"spinetrace/mllp"
	"spinetrace/store"
)

// newLogger logs to w: text if a person is looking, JSON otherwise. Durations are written
// as people write them.
func newLogger(w io.Writer, level slog.Level) *slog.Logger {
	o := &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Value.Kind() == slog.KindDuration {
			a.Value = slog.StringValue(a.Value.Duration().String())
		}
		return a
	}}
	if isTerminal(w) {
		return slog.New(slog.NewTextHandler(w, o))
	}
	return slog.New(slog.NewJSONHandler(w, o))
}

// isTerminal tells whether a person is likely to read what is written to w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && f.Name() != os.DevNull
}

// logConnection logs what went wrong on a connection, as often as limit allows. A peer that
// left is not our trouble, and a commit that failed has the line of its exchange.
func logConnection(log *slog.Logger, limit *flood, peer netip.AddrPort, err error) {
	level := slog.LevelWarn
	switch {
	case errors.Is(err, store.ErrUnavailable):
		level = slog.LevelDebug
	case errors.Is(err, mllp.ErrAnswerLost):
		level = slog.LevelInfo
	}
	if !log.Enabled(context.Background(), level) {
		return
	}
	leftOut, ok := limit.allow(peer.Addr(), time.Now())
	if !ok {
		return
	}
	attrs := []slog.Attr{slog.Any("peer", peer), slog.Any("err", err)}
	if h := (*mllp.HandshakeError)(nil); errors.As(err, &h) {
		attrs = append(attrs, slog.String("reason", h.Reason))
		if h.Version != 0 {
			attrs = append(attrs, slog.String("tls", tls.VersionName(h.Version)))
		}
	}
	if leftOut > 0 {
		attrs = append(attrs, slog.Int("left_out", leftOut))
	}
	log.LogAttrs(context.Background(), level, "connection", attrs...)
}

// logState logs the coming and going of connections, for who looks for one: load balancers
// come and go every second.
func logState(log *slog.Logger, peer netip.AddrPort, s mllp.ConnState) {
	if s == mllp.StateOpen || s == mllp.StateClosed {
		log.Debug("connection", "peer", peer, "state", s.String())
	}
}
