package main

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

func TestSimulateSaysThatItIsNotSpine(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	out := new(logBuffer)
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"simulate", "--itk", "127.0.0.1:0", "--fault", "op=getNHSNumber,do=503"}, console{Out: out, Err: out})
	}()
	waitUntil(t, "the banner", func() bool { return strings.Contains(out.String(), "Ctrl-C") })
	if !strings.Contains(out.String(), "THIS IS NOT SPINE") {
		t.Errorf("printed %s", out)
	}
	url := regexp.MustCompile(`http://\S+`).FindString(out.String())
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if page, err := io.ReadAll(resp.Body); err != nil || !strings.Contains(strings.ToUpper(string(page)), "NOT SPINE") {
		t.Errorf("the page says %q, %v", page, err)
	}
	cancel()
	if code := <-done; code != exitOK {
		t.Errorf("exit code %d: %s", code, out)
	}
}
