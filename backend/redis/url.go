package redis

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/dlock-go/dlock/backend"
	"github.com/dlock-go/dlock/backend/redis/internal/redisconn"
)

func init() {
	for _, tls := range []string{"redis", "rediss"} {
		for _, kind := range []string{"", "+cluster", "+sentinel"} {
			backend.Register(tls+kind, func(rawURL string) (backend.Backend, error) { return openURL(rawURL) })
		}
	}
}

// A location is what a URL says.
type location struct {
	scheme   string // redis or rediss
	kind     string // "", cluster or sentinel
	user     string
	password string
	addrs    []string
	db       int
	master   string
	prefix   string

	maxTTLText string
	maxTTL     time.Duration // of a quorum

	sentinelUser, sentinelPassword string

	tls                       *tls.Config
	caFile, certFile, keyFile string
	serverName                string
}

// openURL returns the store that a URL names. What is wrong with the URL it says
// without repeating it: there may be a password in the wrong place.
func openURL(rawURL string) (*Store, error) {
	l, err := parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("dlock: redis URL: %w", err)
	}
	st := &Store{prefix: l.prefix, nodes: l.nodes(), maxTTL: l.maxTTL}
	if st.init(); st.err != nil {
		return nil, st.err
	}
	return st, nil
}

// parse takes a URL apart. net/url refuses several hosts.
func parse(rawURL string) (*location, error) {
	scheme, rest, ok := strings.Cut(rawURL, "://")
	if !ok {
		return nil, errors.New("it has to begin like redis://host:6379")
	}
	l := &location{prefix: DefaultPrefix}
	l.scheme, l.kind, _ = strings.Cut(strings.ToLower(scheme), "+")
	if strings.Contains(rest, "#") {
		return nil, errors.New("it has no fragment; # is written %23")
	}
	rest, query, _ := strings.Cut(rest, "?")
	authority, path, _ := strings.Cut(rest, "/")
	hosts := authority
	if at := strings.LastIndexByte(authority, '@'); at >= 0 {
		hosts = authority[at+1:]
		user, password, _ := strings.Cut(authority[:at], ":")
		var err, err2 error
		l.user, err = url.PathUnescape(user)
		l.password, err2 = url.PathUnescape(password)
		if err != nil || err2 != nil {
			return nil, errors.New("malformed user or password; % is written %25")
		}
	}
	if err := l.parseHosts(hosts); err != nil {
		return nil, err
	}
	if path != "" {
		db, err := strconv.ParseUint(path, 10, 31)
		if err != nil {
			return nil, errors.New("its path is the number of a database, as in redis://host:6379/0")
		}
		l.db = int(db)
	}
	if err := l.parseOptions(query); err != nil {
		return nil, err
	}
	return l, l.check()
}

func (l *location) parseHosts(hosts string) error {
	port := "6379"
	if l.kind == "sentinel" {
		port = "26379"
	}
	for host := range strings.SplitSeq(hosts, ",") {
		addr := host
		h, p, err := net.SplitHostPort(addr)
		if err != nil { // no port
			h, p = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), port
			if strings.ContainsAny(h, "[]") || strings.Contains(h, ":") != strings.HasPrefix(host, "[") {
				return errors.New("malformed address; it is host:port, with commas between several")
			}
		}
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return errors.New("the port of an address is not a number between 1 and 65535 (is a / or @ in the password written as %2F, %40?)")
		}
		if h == "" {
			if hosts != "" && hosts != ":"+p {
				return errors.New("one of the addresses is empty")
			}
			h = "localhost"
		}
		l.addrs = append(l.addrs, net.JoinHostPort(h, p))
	}
	return nil
}

func (l *location) parseOptions(query string) error {
	options, err := url.ParseQuery(query)
	if err != nil {
		return errors.New("malformed options behind the ?")
	}
	known := map[string]*string{
		"prefix":            &l.prefix,
		"max-ttl":           &l.maxTTLText,
		"master":            &l.master,
		"sentinel-user":     &l.sentinelUser,
		"sentinel-password": &l.sentinelPassword,
		"tls-ca-file":       &l.caFile,
		"tls-cert-file":     &l.certFile,
		"tls-key-file":      &l.keyFile,
		"tls-server-name":   &l.serverName,
	}
	for name, values := range options {
		to := known[name]
		if to == nil {
			return fmt.Errorf("unknown option %.20q; there are prefix, max-ttl, master, sentinel-user, sentinel-password, tls-ca-file, tls-cert-file, tls-key-file, tls-server-name", name)
		}
		if len(values) > 1 {
			return fmt.Errorf("option %s is there twice", name)
		}
		*to = values[0]
	}
	return nil
}

// check refuses what does not go together, and loads certificates.
func (l *location) check() error {
	switch {
	case l.kind == "sentinel" && l.master == "":
		return errors.New("a Sentinel needs ?master=NAME")
	case l.kind != "sentinel" && (l.master != "" || l.sentinelUser != "" || l.sentinelPassword != ""):
		return errors.New("master and sentinel-… are options of redis+sentinel://")
	case l.kind == "cluster" && l.db != 0:
		return errors.New("a Redis Cluster has no database but 0")
	case l.scheme == "redis" && (l.caFile != "" || l.certFile != "" || l.keyFile != "" || l.serverName != ""):
		return errors.New("tls-… are options of rediss://")
	case l.maxTTLText != "" && (l.kind != "" || len(l.addrs) < 2):
		return errors.New("max-ttl is an option of a quorum")
	case (l.certFile == "") != (l.keyFile == ""):
		return errors.New("tls-cert-file and tls-key-file go together")
	}
	if l.maxTTLText != "" {
		var err error
		if l.maxTTL, err = time.ParseDuration(l.maxTTLText); err != nil || l.maxTTL <= 0 {
			return errors.New("max-ttl is a duration like 30s")
		}
	}
	for i, a := range l.addrs {
		for _, b := range l.addrs[:i] {
			if a == b {
				return fmt.Errorf("the address %s is there twice", a)
			}
		}
	}
	if l.scheme == "redis" {
		return nil
	}
	l.tls = &tls.Config{MinVersion: tls.VersionTLS12, ServerName: l.serverName}
	if l.caFile != "" {
		pem, err := os.ReadFile(l.caFile)
		if err != nil {
			return fmt.Errorf("tls-ca-file: %w", err)
		}
		l.tls.RootCAs = x509.NewCertPool()
		if !l.tls.RootCAs.AppendCertsFromPEM(pem) {
			return fmt.Errorf("tls-ca-file: no certificate in %s", l.caFile)
		}
	}
	if l.certFile != "" {
		cert, err := tls.LoadX509KeyPair(l.certFile, l.keyFile)
		if err != nil {
			return fmt.Errorf("tls-cert-file: %w", err)
		}
		l.tls.Certificates = []tls.Certificate{cert}
	}
	return nil
}

// nodes returns what the URL names.
func (l *location) nodes() []*redisconn.Node {
	path := ""
	if l.db != 0 {
		path = fmt.Sprint("/", l.db)
	}
	switch l.kind {
	case "cluster":
		return []*redisconn.Node{{
			Scheme: l.scheme + "+cluster",
			Addr:   strings.Join(l.addrs, ","),
			Cluster: &redis.ClusterOptions{
				Addrs:     l.addrs,
				Username:  l.user,
				Password:  l.password,
				TLSConfig: l.tls,
			},
		}}
	case "sentinel":
		return []*redisconn.Node{{
			Scheme: l.scheme + "+sentinel",
			Addr:   strings.Join(l.addrs, ","),
			Path:   path + "?master=" + redisconn.Escape(l.master),
			Failover: &redis.FailoverOptions{
				MasterName:       l.master,
				SentinelAddrs:    l.addrs,
				SentinelUsername: l.sentinelUser,
				SentinelPassword: l.sentinelPassword,
				Username:         l.user,
				Password:         l.password,
				DB:               l.db,
				TLSConfig:        l.tls,
			},
		}}
	}
	var nodes []*redisconn.Node
	for _, addr := range l.addrs {
		nodes = append(nodes, &redisconn.Node{
			Scheme: l.scheme,
			Addr:   addr,
			Path:   path,
			Options: &redis.Options{
				Addr:      addr,
				Username:  l.user,
				Password:  l.password,
				DB:        l.db,
				TLSConfig: l.tls.Clone(),
			},
		})
	}
	return nodes
}
