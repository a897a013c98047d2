package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"sluice/api"
	"sluice/daemon"
)

// drainTimeout is how long requests in flight may take once the server stops.
const drainTimeout = 5 * time.Second

// newHTTPServer makes a server with the API's time-outs and limits, which suit the
// admin endpoint as well.
func newHTTPServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: api.ReadHeaderTimeout,
		ReadTimeout:       api.ReadTimeout,
		WriteTimeout:      api.WriteTimeout,
		IdleTimeout:       api.IdleTimeout,
		MaxHeaderBytes:    api.MaxHeaderBytes,
		// What clients do wrong below HTTP is no fault of the server.
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// serveHTTP serves until ctx ends, then lets requests in flight finish.
func serveHTTP(ctx context.Context, server *http.Server, l *listener) error {
	server.ConnState = l.connections.observe
	stopped := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		drain, cancel := context.WithTimeout(context.Background(), drainTimeout)
		defer cancel()
		err := server.Shutdown(drain)
		if errors.Is(err, context.DeadlineExceeded) {
			err = server.Close()
		}
		stopped <- err
	})
	err := server.Serve(l)
	if stop() { // ctx has not ended: Serve failed by itself
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	return <-stopped
}

// loadCertificate makes the TLS configuration; nil is plain HTTP.
func loadCertificate(t *daemon.TLSConfig) (*tls.Config, error) {
	if t == nil {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(t.Certificate, t.Key)
	if err != nil {
		return nil, fmt.Errorf("load certificate %s with key %s: %w", t.Certificate, t.Key, err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}}, nil
}

// listen opens a listener with bounded connections, and TLS where it is
// configured.
func listen(address string, t *daemon.TLSConfig) (*listener, error) {
	config, err := loadCertificate(t)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	b := bounded(l)
	if config != nil {
		b.Listener = tls.NewListener(b.Listener, config)
	}
	return b, nil
}

// endpointURL is the address that clients on this host are told: a server that
// listens everywhere is reached over loopback.
func endpointURL(l net.Listener, secure bool) string {
	address := l.Addr().String()
	if host, port, err := net.SplitHostPort(address); err == nil {
		switch host {
		case "0.0.0.0", "::", "":
			address = net.JoinHostPort("127.0.0.1", port)
		}
	}
	if secure {
		return "https://" + address
	}
	return "http://" + address
}
