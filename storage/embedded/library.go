package embedded

import (
	"errors"
	"fmt"
	"runtime"
	"unsafe"

	"github.com/ebitengine/purego"
)

// library is libchdb's C interface (chdb.h of version 26.7.3). This file is the
// only one that meets C memory, by three rules: every pointer handed to C is
// kept alive until the call returns, C keeps none of them; every buffer C hands
// out is copied or written out before its result is destroyed; every string
// goes with its length, never as a C string, so a NUL octet ends nothing.
type library struct {
	version           func() string
	setSignalHandlers func(enabled int32)

	connect func(argc int32, argv unsafe.Pointer) unsafe.Pointer // *chdb_connection, nil on failure
	closeC  func(connection unsafe.Pointer)                      // *chdb_connection

	classify func(conn, sql unsafe.Pointer, sqlLen uintptr, db unsafe.Pointer, dbLen uintptr, out unsafe.Pointer) int32
	query    func(conn, sql unsafe.Pointer, sqlLen uintptr, format unsafe.Pointer, formatLen uintptr,
		names, nameLens, values, valueLens unsafe.Pointer, count uintptr) unsafe.Pointer
	streamQuery func(conn, sql unsafe.Pointer, sqlLen uintptr, format unsafe.Pointer, formatLen uintptr,
		names, nameLens, values, valueLens unsafe.Pointer, count uintptr) unsafe.Pointer
	streamFetch  func(conn, stream unsafe.Pointer) unsafe.Pointer
	streamCancel func(conn, stream unsafe.Pointer)

	resultBuffer  func(result unsafe.Pointer) unsafe.Pointer
	resultLength  func(result unsafe.Pointer) uintptr
	resultError   func(result unsafe.Pointer) string // copied by purego
	rowsWritten   func(result unsafe.Pointer) uint64
	destroyResult func(result unsafe.Pointer)

	insert func(conn, sql unsafe.Pointer, sqlLen uintptr, format unsafe.Pointer, formatLen uintptr,
		names, nameLens, values, valueLens unsafe.Pointer, count uintptr) unsafe.Pointer
	insertAppend  func(stream, data unsafe.Pointer, n uintptr) int32
	insertDone    func(stream unsafe.Pointer) unsafe.Pointer
	insertCancel  func(stream unsafe.Pointer)
	insertError   func(stream unsafe.Pointer) string
	destroyInsert func(stream unsafe.Pointer)
}

// loadLibrary loads libchdb from path. A process loads it once and never
// unloads it: the library runs threads of its own.
func loadLibrary(path string) (*library, error) {
	handle, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("load engine library %s: %w", path, err)
	}
	var l library
	for _, f := range []struct {
		target any
		symbol string
	}{
		{&l.version, "chdb_version"},
		{&l.setSignalHandlers, "chdb_set_signal_handlers_enabled"},
		{&l.connect, "chdb_connect"},
		{&l.closeC, "chdb_close_conn"},
		{&l.classify, "chdb_classify_query_n"},
		{&l.query, "chdb_query_with_params_n"},
		{&l.streamQuery, "chdb_stream_query_with_params_n"},
		{&l.streamFetch, "chdb_stream_fetch_result"},
		{&l.streamCancel, "chdb_stream_cancel_query"},
		{&l.resultBuffer, "chdb_result_buffer"},
		{&l.resultLength, "chdb_result_length"},
		{&l.resultError, "chdb_result_error"},
		{&l.rowsWritten, "chdb_result_rows_written"},
		{&l.destroyResult, "chdb_destroy_query_result"},
		{&l.insert, "chdb_stream_insert_with_params_n"},
		{&l.insertAppend, "chdb_stream_append"},
		{&l.insertDone, "chdb_stream_done"},
		{&l.insertCancel, "chdb_stream_cancel_insert"},
		{&l.insertError, "chdb_stream_insert_error"},
		{&l.destroyInsert, "chdb_destroy_insert_stream"},
	} {
		symbol, err := purego.Dlsym(handle, f.symbol)
		if err != nil {
			return nil, fmt.Errorf("load engine library %s: no function %s: another version than 26.7.3?", path, f.symbol)
		}
		purego.RegisterFunc(f.target, symbol)
	}
	// The Go runtime owns the signals of this process.
	l.setSignalHandlers(0)
	return &l, nil
}

// session is one connection of the library. It runs one statement at a time;
// only its user may call it.
type session struct {
	lib  *library
	ref  unsafe.Pointer // *chdb_connection, as chdb_close_conn wants it
	conn unsafe.Pointer // chdb_connection, as everything else wants it
}

// openSession connects. The first session of a process starts the engine and
// decides its options; closing the last one stops it.
func (l *library) openSession(args []string) (*session, error) {
	var pin runtime.Pinner
	defer pin.Unpin()
	argv := make([]*byte, len(args)+1) // argv ends with NULL
	for i, a := range args {
		b := append([]byte(a), 0)
		pin.Pin(&b[0])
		argv[i] = &b[0]
	}
	ref := l.connect(int32(len(args)), unsafe.Pointer(&argv[0]))
	runtime.KeepAlive(argv)
	if ref == nil {
		return nil, errors.New("engine refused the connection")
	}
	return &session{lib: l, ref: ref, conn: *(*unsafe.Pointer)(ref)}, nil
}

func (s *session) close() { s.lib.closeC(s.ref) }

// param is a query parameter: {name:Type} in the statement.
type param struct{ name, value string }

// cParams is a list of parameters as the library wants it.
type cParams struct {
	pin                                runtime.Pinner
	names, nameLens, values, valueLens unsafe.Pointer
	count                              uintptr
}

func newCParams(params []param) *cParams {
	p := &cParams{count: uintptr(len(params))}
	if len(params) == 0 {
		return p
	}
	names, values := make([]unsafe.Pointer, len(params)), make([]unsafe.Pointer, len(params))
	nameLens, valueLens := make([]uintptr, len(params)), make([]uintptr, len(params))
	for i, q := range params {
		names[i], nameLens[i] = p.octets(q.name)
		values[i], valueLens[i] = p.octets(q.value)
	}
	p.pin.Pin(&names[0])
	p.pin.Pin(&values[0])
	p.pin.Pin(&nameLens[0])
	p.pin.Pin(&valueLens[0])
	p.names, p.nameLens = unsafe.Pointer(&names[0]), unsafe.Pointer(&nameLens[0])
	p.values, p.valueLens = unsafe.Pointer(&values[0]), unsafe.Pointer(&valueLens[0])
	return p
}

// octets pins the octets of s; an empty string is one pinned octet of length 0.
func (p *cParams) octets(s string) (unsafe.Pointer, uintptr) {
	data := unsafe.StringData(s)
	if len(s) == 0 {
		data = new(byte)
	}
	p.pin.Pin(data)
	return unsafe.Pointer(data), uintptr(len(s))
}

// statementClass is what a statement does, as the engine's own parser sees it.
type statementClass uint32

const (
	readOnly statementClass = iota
	mutating
	mutatingGlobal
	control // USE, SET, ATTACH, SYSTEM ...: may change the session
	unknown // did not parse
)

// classify returns the class of sql and how many statements it holds, without
// running it.
func (s *session) classify(sql string) (statementClass, int) {
	if sql == "" {
		return unknown, 0
	}
	analysis := struct{ size, count, flags, class uint32 }{size: 16}
	if s.lib.classify(s.conn, unsafe.Pointer(unsafe.StringData(sql)), uintptr(len(sql)), nil, 0, unsafe.Pointer(&analysis)) != 0 {
		return unknown, 0
	}
	runtime.KeepAlive(sql)
	return statementClass(analysis.class), int(analysis.count)
}

// run executes sql and hands its whole output to write.
func (s *session) run(sql, format string, params []param, write func([]byte) error) error {
	p := newCParams(params)
	defer p.pin.Unpin()
	result := s.lib.query(s.conn, unsafe.Pointer(unsafe.StringData(sql)), uintptr(len(sql)),
		unsafe.Pointer(unsafe.StringData(format)), uintptr(len(format)), p.names, p.nameLens, p.values, p.valueLens, p.count)
	runtime.KeepAlive(sql)
	runtime.KeepAlive(format)
	if result == nil {
		return errors.New("engine gave no result")
	}
	_, err := s.consume(result, write)
	return err
}

// consume passes the output of result to write and destroys it. It returns the
// number of octets.
func (s *session) consume(result unsafe.Pointer, write func([]byte) error) (int, error) {
	defer s.lib.destroyResult(result)
	if text := s.lib.resultError(result); text != "" {
		return 0, parseError(text)
	}
	n := int(s.lib.resultLength(result))
	if n == 0 || write == nil {
		return n, nil
	}
	return n, write(unsafe.Slice((*byte)(s.lib.resultBuffer(result)), n))
}

// stream executes sql and hands its output to write chunk by chunk. When write
// fails the statement is cancelled.
func (s *session) stream(sql, format string, params []param, write func([]byte) error) error {
	p := newCParams(params)
	stream := s.lib.streamQuery(s.conn, unsafe.Pointer(unsafe.StringData(sql)), uintptr(len(sql)),
		unsafe.Pointer(unsafe.StringData(format)), uintptr(len(format)), p.names, p.nameLens, p.values, p.valueLens, p.count)
	runtime.KeepAlive(sql)
	runtime.KeepAlive(format)
	p.pin.Unpin()
	if stream == nil {
		return errors.New("engine gave no result")
	}
	defer s.lib.destroyResult(stream)
	if text := s.lib.resultError(stream); text != "" {
		return parseError(text)
	}
	for {
		chunk := s.lib.streamFetch(s.conn, stream)
		if chunk == nil {
			return errors.New("engine gave no result")
		}
		failed := false
		n, err := s.consume(chunk, func(b []byte) error {
			err := write(b)
			failed = err != nil
			return err
		})
		if failed {
			s.lib.streamCancel(s.conn, stream)
		}
		if err != nil || n == 0 {
			return err
		}
	}
}

// insertStream is an INSERT whose data is being sent.
type insertStream struct {
	session *session
	handle  unsafe.Pointer
}

// insert begins an INSERT of data in format; the caller must finish or cancel.
func (s *session) insert(sql, format string, params []param) (*insertStream, error) {
	p := newCParams(params)
	defer p.pin.Unpin()
	handle := s.lib.insert(s.conn, unsafe.Pointer(unsafe.StringData(sql)), uintptr(len(sql)),
		unsafe.Pointer(unsafe.StringData(format)), uintptr(len(format)), p.names, p.nameLens, p.values, p.valueLens, p.count)
	runtime.KeepAlive(sql)
	runtime.KeepAlive(format)
	if handle == nil {
		return nil, errors.New("engine gave no insert stream")
	}
	if text := s.lib.insertError(handle); text != "" {
		s.lib.destroyInsert(handle)
		return nil, parseError(text)
	}
	return &insertStream{session: s, handle: handle}, nil
}

// append copies data into the stream, waiting while the engine is behind. It
// reports false when the statement has failed: finish tells why.
func (i *insertStream) append(data []byte) bool {
	if len(data) == 0 {
		return true
	}
	ok := i.session.lib.insertAppend(i.handle, unsafe.Pointer(unsafe.SliceData(data)), uintptr(len(data))) == 0
	runtime.KeepAlive(data)
	return ok
}

// finish commits and returns the rows written, those of views included.
func (i *insertStream) finish() (rows uint64, err error) {
	lib := i.session.lib
	defer lib.destroyInsert(i.handle)
	result := lib.insertDone(i.handle)
	if result == nil {
		return 0, errors.New("engine gave no result")
	}
	defer lib.destroyResult(result)
	if text := lib.resultError(result); text != "" {
		return 0, parseError(text)
	}
	return lib.rowsWritten(result), nil
}

// cancel abandons the statement; blocks already complete may have been written.
func (i *insertStream) cancel() {
	i.session.lib.insertCancel(i.handle)
	i.session.lib.destroyInsert(i.handle)
}
