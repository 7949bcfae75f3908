package pgsql

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Identifier quotes a name of something for SQL.
func Identifier(names ...string) string { return pgx.Identifier(names).Sanitize() }

// Regclass returns the constant that stands for a relation.
func Regclass(relation string) string { return literal(relation) + "::regclass" }

// literal quotes a string for SQL, in ASCII whatever it contains.
func literal(s string) string {
	var b strings.Builder
	b.WriteString("U&'")
	for _, r := range s {
		switch {
		case r == '\'' || r == '\\':
			b.WriteRune(r)
			b.WriteRune(r)
		case r >= ' ' && r < 0x7f:
			b.WriteRune(r)
		default:
			b.WriteString(`\+` + fmt.Sprintf("%06s", strconv.FormatInt(int64(r), 16)))
		}
	}
	b.WriteString("'")
	return b.String()
}

// Text quotes a string of ASCII for SQL, whatever the connection has set.
func Text(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
