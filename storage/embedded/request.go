package embedded

import (
	"fmt"
	"io"
	"net/http"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"github.com/ClickHouse/ch-go/proto"
)

// maxStatement bounds a statement with its inline data, in octets. Bulk data
// comes as the body of INSERT ... FORMAT, which has no bound.
const maxStatement = 64 << 20

// request is a parsed HTTP request.
type request struct {
	statement string
	format    string // of the output, or of data
	database  string
	settings  string // "name = 'value', ...", quoted
	params    []param
	revision  int       // client_protocol_version
	data      io.Reader // body of INSERT ... FORMAT, else nil
}

var (
	// insertRE matches an INSERT whose data follows in the body.
	insertRE = regexp.MustCompile(`(?is)^(\s*INSERT\s+INTO\s.*)\sFORMAT\s+([A-Za-z0-9_]+)\s*;?\s*$`)
	nameRE   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`)
)

func parseRequest(r *http.Request) (*request, error) {
	if r.Method != http.MethodPost && r.Method != http.MethodGet {
		return nil, exceptionf(codeNotImplemented, "method %s is not supported: use POST", r.Method)
	}
	if h := r.Header.Get("Content-Encoding"); h != "" {
		return nil, exceptionf(codeNotImplemented, "compression %q is not supported", h)
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/") {
		return nil, exceptionf(codeNotImplemented, "external tables are not supported")
	}
	q := &request{format: "TabSeparated"}
	settings := make([]string, 0, 8)
	for name, values := range r.URL.Query() {
		value := values[len(values)-1]
		switch name {
		case "query":
			q.statement = value
		case "database":
			q.database = value
		case "default_format":
			if !nameRE.MatchString(value) {
				return nil, exceptionf(73, "Unknown format %q. (UNKNOWN_FORMAT)", value)
			}
			q.format = value
		case "client_protocol_version":
			q.revision, _ = strconv.Atoi(value) // 0 without one
		case "query_id", "quota_key", "user", "password", "wait_end_of_query", "buffer_size":
			// Of the HTTP interface; nothing to do here.
		case "log_comment":
			return nil, exceptionf(codeBadArguments, "the setting log_comment is used by the embedded engine itself")
		case "compress", "decompress":
			if value != "0" && value != "" {
				return nil, exceptionf(codeNotImplemented, "compression is not supported")
			}
		default:
			if param_, ok := strings.CutPrefix(name, "param_"); ok {
				q.params = append(q.params, param{param_, value})
				continue
			}
			if !nameRE.MatchString(name) {
				return nil, exceptionf(codeUnknownSetting, "Unknown setting %q. (UNKNOWN_SETTING)", name)
			}
			settings = append(settings, name+" = "+quoteString(value))
		}
	}
	sort.Strings(settings)
	q.settings = strings.Join(settings, ", ")

	if m := insertRE.FindStringSubmatch(q.statement); m != nil {
		q.statement, q.format, q.data = m[1], m[2], r.Body
		return q, nil
	}
	return q, q.readStatement(r.Body)
}

// readStatement appends the body to the statement.
func (q *request) readStatement(body io.Reader) error {
	if body == nil {
		body = http.NoBody
	}
	rest, err := io.ReadAll(io.LimitReader(body, maxStatement+1))
	if err != nil {
		return exceptionf(codeNetworkError, "read statement: %v", err)
	}
	if len(rest) > maxStatement {
		return exceptionf(codeTooLarge, "statement is longer than %d octets", maxStatement)
	}
	if q.statement == "" {
		q.statement = string(rest)
	} else if len(rest) > 0 {
		q.statement += "\n" + string(rest)
	}
	if strings.TrimSpace(q.statement) == "" {
		return exceptionf(codeSyntaxError, "Empty query. (SYNTAX_ERROR)")
	}
	return nil
}

var stringEscaper = strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\x00", `\0`)

func quoteString(s string) string { return "'" + stringEscaper.Replace(s) + "'" }

var identifierEscaper = strings.NewReplacer(`\`, `\\`, "`", "\\`", "\x00", `\0`)

func quoteIdentifier(s string) string { return "`" + identifierEscaper.Replace(s) + "`" }

// helloQuery is what clickhouse-go asks when it connects over HTTP.
const helloQuery = "SELECT displayName(), version(), revision(), timezone()"

// hello answers helloQuery with revision 0: the library emits Native without
// protocol version, and the driver decodes what it is told. The answer itself
// comes in the encoding the client has announced.
func hello(out *output, revision int, version string) error {
	name, v, zone := new(proto.ColStr), new(proto.ColStr), new(proto.ColStr)
	var zero proto.ColUInt32
	name.Append("embedded")
	v.Append(version)
	zero.Append(0)
	zone.Append("UTC")
	input := proto.Input{
		{Name: "displayName()", Data: name},
		{Name: "version()", Data: v},
		{Name: "revision()", Data: zero},
		{Name: "timezone()", Data: zone},
	}
	var buf proto.Buffer
	block := proto.Block{Columns: len(input), Rows: 1}
	if revision > 0 {
		block.Info = proto.BlockInfo{BucketNum: -1}
	}
	if err := block.EncodeBlock(&buf, revision, input); err != nil {
		return fmt.Errorf("encode hello: %w", err)
	}
	return out.write(buf.Buf)
}
