package main

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"spinetrace/store"
)

// auditReindex makes the index of patients anew from the journal.
func auditReindex(ctx context.Context, c console, args []string) error {
	who := ""
	fs := newFlags("audit reindex", "audit reindex [flags]\n\nMakes the index of patients anew from the messages in the journal, under the settings of\nnow, while serve is running or not. Do it after LOCAL_ID, LOCAL_DOMAINS or\nNHS_NUMBER_PATTERNS changed, or when an answer shows that the index is wrong. Messages\nwhose bodies were dropped are not read: what only they told is forgotten.")
	fs.StringVar(&who, "as", osUser(), "`name` of who asks, for the record")
	if err := parse(fs, c, args, 0); err != nil {
		return err
	}
	if err := checkWho(who, "asks"); err != nil {
		return err
	}
	cfg, found := readConfig()
	if cfg.ODS == "" { // whose numbers are whose depends on it
		found.add("ODS", "is missing; write the trust's ODS code, as serve has it")
	}
	if err := found.err(); err != nil {
		return err
	}
	return reading(ctx, c, func(db store.Store) error { return reindex(ctx, c, &cfg, db, who) })
}

func reindex(ctx context.Context, c console, cfg *config, db store.Store, who string) error {
	log := newLogger(c.Err, max(cfg.LogLevel, slog.LevelWarn))
	h, err := newHandler(cfg, nil, newMetrics(thisBuild()), log)
	if err != nil {
		return err
	}
	asOf := time.Now()
	entries, messages, err := h.Reindex(ctx, db, func(n int) {
		fmt.Fprintf(c.Err, "%d messages read\n", n)
	})
	if err != nil {
		return err
	}
	if err := look(ctx, db, who, map[string]string{"reindex": strconv.Itoa(messages) + " messages"}, messages); err != nil {
		return err
	}
	kept, deleted, err := db.Reindex(ctx, asOf, entries)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.Out, "%s read; the index has %s, %d deleted\n",
		count(messages, "message", "messages"), count(kept, "patient", "patients"), deleted)
	return err
}
