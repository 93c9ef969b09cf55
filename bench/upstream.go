package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
)

// upstream is the app behind all servers.
type upstream struct {
	*http.Server
	listener net.Listener
}

func startUpstream() (*upstream, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	u := &upstream{&http.Server{Handler: app()}, l}
	go func() { _ = u.Serve(l) }() // until Close
	return u, nil
}

func (u *upstream) address() string { return u.listener.Addr().String() }

// itemBody is the answer to what is measured, about as large as what an app's API answers.
var itemBody = []byte(`{"items":["` + strings.Repeat(`item","`, 140) + `"]}`)

// seen is what the app tells of a request, so that the driver can check what the server did.
type seen struct {
	User   string
	Cookie string
}

func app() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /item", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(itemBody)
	})
	mux.HandleFunc("GET /seen", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(seen{r.Header.Get("Remote-User"), strings.Join(r.Header["Cookie"], "; ")})
	})
	mux.HandleFunc("GET /cookies", func(w http.ResponseWriter, r *http.Request) {
		count, err := strconv.Atoi(r.FormValue("count"))
		if err != nil || count < 0 || count > 100 {
			http.Error(w, "count must be from 0 to 100", http.StatusBadRequest)
			return
		}
		for _, c := range appCookies(count) {
			http.SetCookie(w, c)
		}
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, "<!doctype html><title>App</title>")
	})
	return mux
}

// appCookies are the cookies that the app gives a browser. As with most apps one is for scripts, the
// token against forgery, and the others are not.
func appCookies(count int) []*http.Cookie {
	var list []*http.Cookie
	for i := range count {
		list = append(list, &http.Cookie{
			Name:     fmt.Sprintf("cookie%02d", i),
			Value:    fmt.Sprintf("0123456789abcdef%08d", i),
			Path:     "/",
			HttpOnly: i > 0,
			SameSite: http.SameSiteLaxMode,
		})
	}
	return list
}
