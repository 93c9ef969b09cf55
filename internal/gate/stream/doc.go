// Package stream ends requests that outlast their session: web sockets, event streams, long polls,
// slow downloads and uploads.
//
// A Registry knows all requests that are under way as a session, and asks at regular intervals what
// has become of their sessions. Nobody tells it, because sessions end in ways that no code path of
// this process sees: by their expiry, or by another process. The answers are in memory. The
// registry does not ask about requests that are over soon, and nothing runs while no request is
// under way.
package stream
