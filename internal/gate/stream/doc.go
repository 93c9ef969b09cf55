// Package stream knows the requests that are passing as a session, and ends those that outlast it: web
// sockets, events, long polls, slow downloads and uploads.
//
// It asks what has become of their sessions, instead of being told: a session ends in many ways, some of
// which nobody does, such as its time, and some of which another process does. What is asked is in memory.
// Nothing is asked of requests that are over soon, and nothing runs while none are passing.
package stream
