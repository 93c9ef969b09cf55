// Package integration drives the gateway from outside: the real binary, built once a run, with
// browsers, upstreams and damaged files around it. It is a module of its own, so that what only
// tests need never gets into the dependencies of those who build the gateway.
package integration
