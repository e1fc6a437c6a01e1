package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"spinetrace/pds/pdstest"
	"spinetrace/pds/pdstest/simulator"
	"spinetrace/smsp/smsptest"
	"spinetrace/testdata"
)

// banner is what nobody may overlook.
const banner = `********************************************************************
***                                                              ***
***   THIS IS NOT SPINE. This is a simulator. Its patients are   ***
***   invented, and its answers say nothing about anybody.       ***
***                                                              ***
********************************************************************

`

// faultRows is the flag --fault, which may be repeated.
type faultRows []simulator.Fault

func (f *faultRows) String() string { return "" }

func (f *faultRows) Set(row string) error {
	fault, err := simulator.ParseFault(row)
	if err != nil {
		return err
	}
	*f = append(*f, fault)
	return nil
}

// simulate runs the simulator of the mini services until ctx ends.
func simulate(ctx context.Context, c console, args []string) error {
	var faults faultRows
	fs := newFlags("simulate", "simulate [flags]\n\nAnswers as the PDS mini services do, about invented patients. It is not Spine.")
	itk := fs.String("itk", "127.0.0.1:8680", "`address` of the mini services; any path will do")
	patients := fs.String("patients", "", "CSV `file` of patients; default our own invented ones")
	jitter := fs.Duration("jitter", 20*time.Millisecond, "the most by which an answer is delayed at random; 0 for none")
	remote := fs.Bool("allow-remote", false, "let other machines reach it")
	fs.Var(&faults, "fault", "`row` op=,rate=,delay=,skip=,times=,do=; may be repeated. do is an HTTP status, fault:CODE, code:CODE, garbage, reset or hang")
	if err := parse(fs, c, args, 0); err != nil {
		return err
	}
	if !loopback(*itk) && !*remote {
		return usageError("--itk is not loopback; --allow-remote lets other machines reach a simulator")
	}
	population, err := readPopulation(*patients)
	if err != nil {
		return err
	}
	if !loopback(*itk) && !population.Invented() {
		return usageError("patients with NHS numbers outside 999 are simulated on loopback only")
	}
	s := smsptest.New(population, faults...)
	s.Jitter = *jitter
	return runSimulator(ctx, c.Out, *itk, s, population.Len())
}

func readPopulation(file string) (*pdstest.Population, error) {
	var in io.Reader = bytes.NewReader(testdata.People)
	if file != "" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	people, err := pdstest.ReadPeople(in)
	if err != nil {
		return nil, err
	}
	return pdstest.NewPopulation(people)
}

func runSimulator(ctx context.Context, w io.Writer, addr string, s *smsptest.Server, people int) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("--itk: %w; stop what uses the port, or choose another", err)
	}
	if err := s.Start(ln, nil); err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%sSimulated mini services: %s\n%d invented patients; everything is forgotten at the end. Stop with Ctrl-C.\n",
		banner, s.URL, people)
	if err == nil {
		<-ctx.Done()
	}
	return errors.Join(err, s.Close())
}
