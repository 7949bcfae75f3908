package redistest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// Do sends the server one command over a connection of its own, by its Unix
// socket, and returns the answer: a string, an int64, nil, or a []any of those.
func (s *Server) Do(args ...string) (any, error) {
	conn, err := net.DialTimeout("unix", s.Socket(), patience)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	r := bufio.NewReader(conn)
	if s.password != "" {
		if _, err := exchange(conn, r, []string{"AUTH", s.password}); err != nil {
			return nil, err
		}
	}
	return exchange(conn, r, args)
}

// Info returns the fields of INFO everything.
func (s *Server) Info() (map[string]string, error) {
	v, err := s.Do("INFO", "everything")
	if err != nil {
		return nil, err
	}
	info := make(map[string]string)
	for line := range strings.Lines(fmt.Sprint(v)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[k] = v
		}
	}
	return info, nil
}

func exchange(w io.Writer, r *bufio.Reader, args []string) (any, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "*%d\r\n", len(args))
	for _, a := range args {
		fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(a), a)
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return nil, err
	}
	return readReply(r)
}

func readReply(r *bufio.Reader) (any, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	kind, rest := line[0], strings.TrimRight(line[1:], "\r\n")
	switch kind {
	case '+':
		return rest, nil
	case '-':
		return nil, errors.New(rest)
	case ':':
		return strconv.ParseInt(rest, 10, 64)
	}
	n, err := strconv.Atoi(rest)
	switch {
	case err != nil:
		return nil, err
	case n < 0:
		return nil, nil
	case kind == '$':
		b := make([]byte, n+2)
		_, err := io.ReadFull(r, b)
		return string(b[:n]), err
	case kind != '*':
		return nil, fmt.Errorf("redistest: malformed reply %q", line)
	}
	list := make([]any, n)
	for i := range list {
		// An error within a list is an element of it.
		v, err := readReply(r)
		if err != nil && v == nil {
			v = err
		}
		list[i] = v
	}
	return list, nil
}
