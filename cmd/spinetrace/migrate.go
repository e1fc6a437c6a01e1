package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// migrate brings the store's schema up to date, or says where it is.
func migrate(ctx context.Context, c console, args []string) error {
	fs := newFlags("migrate", "migrate up | status | roles [flags]\n\nup applies what the schema lacks, status shows where it is, roles prints the\nstatements that make the database's roles. The store is SPINETRACE_STORE; up\nneeds its owner; roles --apply a superuser, or an owner that has CREATEROLE.")
	m := migration{w: c.Out}
	timeout := fs.Duration("timeout", 10*time.Minute, "longest time for everything")
	fs.BoolVar(&m.apply, "apply", false, "with roles: run the statements instead of printing them")
	fs.BoolVar(&m.json, "json", false, "with status: print one JSON object a line")
	name, args := cutAction(args)
	action, ok := migrations[name]
	if name != "" && !ok {
		return usageError(fmt.Sprintf("%q is not one of up, status and roles", name))
	}
	if err := parse(fs, c, args, 0); err != nil {
		return err
	}
	switch {
	case name == "":
		return usageError("say one of up, status and roles")
	case m.apply && name != "roles", m.json && name != "status":
		return usageError("--apply goes with roles, --json with status")
	}
	cfg, found := readConfig()
	if err := found.err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	return action(m, ctx, &cfg)
}

// migration is what the actions of migrate share.
type migration struct {
	w           io.Writer
	apply, json bool
}

var migrations = map[string]func(m migration, ctx context.Context, cfg *config) error{
	"up":     migration.up,
	"status": migration.status,
	"roles":  migration.roles,
}

func (m migration) up(ctx context.Context, cfg *config) error {
	applied, err := cfg.driver().migrate(ctx, cfg)
	for _, name := range applied {
		if _, err := fmt.Fprintf(m.w, "applied %s\n", name); err != nil {
			return err
		}
	}
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(m.w, "the schema is up to date")
	return err
}

func (m migration) status(ctx context.Context, cfg *config) error {
	steps, err := cfg.driver().status(ctx, cfg)
	if err != nil {
		return err
	}
	if len(steps) == 0 && !m.json {
		_, err = fmt.Fprintln(m.w, sqliteFile(cfg.Store.Reveal()))
	}
	for _, s := range steps {
		switch {
		case m.json:
			err = errors.Join(err, json.NewEncoder(m.w).Encode(s))
		case s.Pending:
			_, err = fmt.Fprintf(m.w, "%-40s pending\n", s.Name)
		default:
			_, err = fmt.Fprintf(m.w, "%-40s applied %s\n", s.Name, s.Applied.Format(time.DateTime))
		}
	}
	return err
}

func (m migration) roles(ctx context.Context, cfg *config) error {
	d := cfg.driver()
	if d.roles == nil {
		return errors.New("this store has no roles: who may write the file may write all of it")
	}
	if !m.apply {
		_, err := fmt.Fprint(m.w, d.roles())
		return err
	}
	if err := d.applyRoles(ctx, cfg.Store.Reveal()); err != nil {
		return err
	}
	_, err := fmt.Fprintln(m.w, "the roles are in place")
	return err
}
