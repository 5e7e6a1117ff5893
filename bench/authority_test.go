package bench

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/countersign/countersign/bench/generator"
	"github.com/countersign/countersign/bench/report"
)

// authority is an authorization server of one kind of token, ours or somebody else's. A process may be two of them.
type authority struct {
	program
	name       string // of its side
	id, secret string // of the one client, which goes by Basic
	jwt        bool   // its tokens are
	token      string // path of the endpoint
	form       url.Values
	issued     func([]byte) error // checks an answer
	introspect string             // path of the endpoint; "" if it has none
	admin      string             // host:port at which it introspects for everybody; "" if it does so at its address, by Basic
	with       map[string]int     // processes that work for it, by name
	rows       string             // table of MariaDB that has a row for each token when it is answered; "" if there is none
	lacks      string             // what it leaves out, when it issues, that Countersign does
	knows      string             // the same when it introspects
}

func (a authority) basic() string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(a.id+":"+a.secret))
}

// issuing is the side that is asked for tokens.
func (a authority) issuing() Side {
	request := generator.Post(a.token, a.address, a.basic(), a.form.Encode())
	return a.side(generator.Load{Address: a.address, Requests: [][]byte{request}, Body: a.issued})
}

// introspecting is the side that is asked about n tokens, which are issued first.
func (a authority) introspecting(s *scene, n int) Side {
	s.Helper()
	load := generator.Load{Address: a.address, Body: active}
	if a.admin != "" {
		load.Address = a.admin
	}
	for _, token := range a.tokens(s, n) {
		load.Requests = append(load.Requests, generator.Post(a.introspect, load.Address, a.basic(), url.Values{"token": {token}}.Encode()))
	}
	return a.side(load)
}

func (a authority) side(load generator.Load) Side {
	load.Connections = generator.Connections
	pids := map[string]int{"server": a.PID()}
	maps.Copy(pids, a.with)
	return Side{a.name, load, pids}
}

// tokens asks for n tokens, on as many connections as a load has.
func (a authority) tokens(s *scene, n int) []string {
	s.Helper()
	all := make([]string, n)
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: generator.Connections}}
	defer client.CloseIdleConnections()
	var asking errgroup.Group
	asking.SetLimit(generator.Connections)
	for k := range all {
		asking.Go(func() (err error) {
			all[k], err = a.ask(s, client)
			return err
		})
	}
	s.check(asking.Wait())
	return all
}

// ask asks for one token.
func (a authority) ask(s *scene, client *http.Client) (string, error) {
	r, err := http.NewRequestWithContext(s.Context(), http.MethodPost, "http://"+a.address+a.token, strings.NewReader(a.form.Encode()))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", a.basic())
	response, err := client.Do(r)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var answer tokenAnswer
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.AccessToken == "" {
		return "", fmt.Errorf("%s without a token: %w", response.Status, err)
	}
	return answer.AccessToken, nil
}

// granted checks a token answer as RFC 6749 §5.1 has it, which leaves lifetimes to the server.
func granted(jwt bool) func([]byte) error {
	return func(body []byte) error {
		var answer tokenAnswer
		if err := json.Unmarshal(body, &answer); err != nil {
			return err
		}
		if answer.AccessToken == "" || !strings.EqualFold(answer.TokenType, "Bearer") || answer.ExpiresIn <= 0 || answer.Scope != "read write" ||
			jwt != (strings.Count(answer.AccessToken, ".") == 2) {
			return errors.New("not the token that was asked for")
		}
		return nil
	}
}

// footprint is how much memory the process had at one time and has had at most, in MiB.
func (a authority) footprint(idle int64) (report.Side, error) {
	most, err := peak(a.PID())
	return report.Side{Name: a.name, Figures: []report.Figure{
		report.NewFigure("idle", "MiB", float64(idle)/(1<<20)), report.NewFigure("peak", "MiB", float64(most)/(1<<20)),
	}}, err
}
