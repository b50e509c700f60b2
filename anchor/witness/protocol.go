package witness

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

const (
	maxAnswer = 64 << 10 // octets; a cosignature has about 150
)

// peer speaks C2SP tlog-witness to one witness.
type peer struct {
	url, host string
	verifier  *Verifier
	client    *http.Client
	size      uint64 // of the checkpoint it cosigned last, as far as known
}

// offer has the witness cosign the checkpoint. A witness that knows another size
// than we remember says so, and is asked once more from there.
func (p *peer) offer(ctx context.Context, log Log, size uint64, signed []byte) (Cosigned, error) {
	old := min(p.size, size)
	for range 2 {
		body, err := request(log, old, size, signed)
		if err != nil {
			return Cosigned{}, err
		}
		status, answer, err := p.post(ctx, body)
		if err != nil {
			return Cosigned{}, err
		}
		switch status {
		case http.StatusOK:
			return p.accept(size, signed, answer)
		case http.StatusConflict:
			known, err := strconv.ParseUint(strings.TrimSuffix(string(answer), "\n"), 10, 64)
			switch {
			case err != nil:
				return Cosigned{}, fmt.Errorf("witness %s: conflict without a size", p.verifier.Name())
			case known > size:
				return Cosigned{}, fmt.Errorf("%w: it has cosigned %d headers of this log, which has %d: the directory was set back, or another collector has this key", ErrRefused, known, size)
			case known == old:
				return Cosigned{}, fmt.Errorf("%w: at %d headers it has another history of this log", ErrRefused, known)
			}
			old = known
		case http.StatusUnprocessableEntity:
			return Cosigned{}, fmt.Errorf("%w: the first %d headers it has cosigned are not the beginning of our %d: it has another history of this log", ErrRefused, old, size)
		case http.StatusNotFound:
			return Cosigned{}, fmt.Errorf("witness %s does not know this log: its operator has to add origin and key (ledger/log.pub)", p.verifier.Name())
		case http.StatusForbidden:
			return Cosigned{}, fmt.Errorf("witness %s does not accept the log key: its operator has another for this origin (ours is in ledger/log.pub)", p.verifier.Name())
		default:
			return Cosigned{}, fmt.Errorf("witness %s: HTTP status %d: %.100q", p.verifier.Name(), status, answer)
		}
	}
	return Cosigned{}, fmt.Errorf("witness %s: it changes its mind about the size it knows", p.verifier.Name())
}

// request is the body of add-checkpoint: the old size, the proof from there, an
// empty line, the checkpoint.
func request(log Log, old, size uint64, signed []byte) ([]byte, error) {
	b := fmt.Appendf(nil, "old %d\n", old)
	if old > 0 && old < size {
		path, err := log.Consistency(old, size)
		if err != nil {
			return nil, fmt.Errorf("prove consistency of %d and %d headers: %w", old, size, err)
		}
		for _, h := range path {
			b = base64.StdEncoding.AppendEncode(b, h[:])
			b = append(b, '\n')
		}
	}
	return append(append(b, '\n'), signed...), nil
}

func (p *peer) post(ctx context.Context, body []byte) (status int, answer []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	resp, err := p.client.Do(r)
	if err != nil {
		var noise *url.Error // an address may hold a token
		if errors.As(err, &noise) {
			err = noise.Err
		}
		return 0, nil, fmt.Errorf("witness %s at %s: %w", p.verifier.Name(), p.host, err)
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err == nil && len(answer) > maxAnswer {
		err = fmt.Errorf("answer of more than %d octets", maxAnswer)
	}
	if err != nil {
		return 0, nil, fmt.Errorf("witness %s: %w", p.verifier.Name(), err)
	}
	return resp.StatusCode, answer, nil
}

// accept checks the cosignature in an answer and adds it to the checkpoint.
// Lines of other keys, which a witness may have too, are left out.
func (p *peer) accept(size uint64, signed, answer []byte) (Cosigned, error) {
	text, _, ok := bytes.Cut(signed, []byte("\n\n"))
	if !ok {
		return Cosigned{}, errors.New("checkpoint without signature")
	}
	text = append(bytes.Clone(text), '\n')
	for line := range bytes.Lines(answer) {
		cosigned := append(append(bytes.Clone(text), '\n'), line...)
		n, err := note.Open(cosigned, note.VerifierList(p.verifier))
		if err != nil {
			continue
		}
		at, err := Timestamp(n.Sigs[0])
		if err != nil {
			return Cosigned{}, err
		}
		return Cosigned{Witness: p.verifier.Name(), Size: size, Time: at, Checkpoint: string(signed) + string(line)}, nil
	}
	return Cosigned{}, fmt.Errorf("witness %s answered without a cosignature of its key: is ledger.witnesses[].key right?", p.verifier.Name())
}

// Timestamp is the time that a witness put into its cosignature: it had seen the
// checkpoint by then.
func Timestamp(s note.Signature) (time.Time, error) {
	raw, err := base64.StdEncoding.DecodeString(s.Base64)
	if err != nil || len(raw) != 4+8+64 {
		return time.Time{}, errors.New("cosignature of another length than Ed25519 cosignature/v1")
	}
	return timeOf(raw[4:12])
}
