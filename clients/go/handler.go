package sessiongate

import (
	"bufio"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
)

// ErrHeaderSent is what OnError gets when a handler changed the session after the header had gone
// out, or took the connection over, with a token that the visitor could not be told any more.
var ErrHeaderSent = errors.New("sessiongate: the session got a token after the header was sent")

// errNoHandler is a mistake of the program's.
var errNoHandler = errors.New("sessiongate: the context has no session: is the handler inside Gate.Handler?")

type contextKey struct{}

// Handler gives each request that next serves a session: [FromContext] returns it. It is loaded when
// it is first asked for; a request that does not ask costs no round trip. What was changed is saved
// before the header goes out, and what is changed after that when next returns. A new session, a
// rotated one and a login set the cookie; one that was ended or emptied deletes it.
//
// A session that cannot be saved makes the response 500, where the header is not out yet. One that
// was ended while the request ran leaves response and cookie alone, and OnError is told. When next
// panics nothing more is saved.
func (g *Gate) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v := &visit{gate: g, request: r, token: g.cookieToken(r)}
		sw := &responseWriter{ResponseWriter: w, visit: v}
		next.ServeHTTP(sw, r.WithContext(context.WithValue(r.Context(), contextKey{}, v)))
		if !sw.begin() {
			return
		}
		v.saveLate()
	})
}

// FromContext returns the session of the request whose context it is, in a handler inside
// Gate.Handler. The first call loads it; it fails as Gate.Session does.
func FromContext(ctx context.Context) (*Session, error) {
	v, ok := ctx.Value(contextKey{}).(*visit)
	if !ok {
		return nil, errNoHandler
	}
	return v.load(ctx)
}

// cookieToken is the token of the request's cookie. Of several cookies of that name, as a neighbouring
// site can plant one, the first that is signed counts.
func (g *Gate) cookieToken(r *http.Request) string {
	for _, cookie := range r.Cookies() {
		if cookie.Name == g.cookie.Name {
			if _, ok := g.Verify(cookie.Value); ok {
				return cookie.Value
			}
		}
	}
	return ""
}

// visit is one request's way to its session.
type visit struct {
	gate    *Gate
	request *http.Request
	token   string // that the visitor has

	mu      sync.Mutex
	session *Session // nil: nobody has asked for it
	lost    bool     // it was ended meanwhile, and OnError knows
	told    bool     // the header has a token that the visitor has not yet
}

func (v *visit) load(ctx context.Context) (*Session, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.session != nil {
		return v.session, nil
	}
	session, err := v.gate.Session(ctx, v.token)
	if err != nil {
		return nil, err
	}
	if session.IsNew() {
		v.token = "" // no session's, so no cookie to delete
	}
	v.session = session
	return session, nil
}

// asked is the session, or nil when nobody has asked for it.
func (v *visit) asked() *Session {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.session
}

// save stores the session and writes the cookie into the header that is about to go out.
func (v *visit) save(header http.Header) error {
	s := v.asked()
	if s == nil {
		return nil
	}
	header.Add("Vary", "Cookie")
	// A visitor who goes away has changed his session all the same.
	_, err := s.SaveOrEnd(context.WithoutCancel(v.request.Context()))
	if errors.Is(err, ErrNoSession) {
		v.lost = true
		v.gate.onError(v.request, err)
		return nil
	}
	if err != nil {
		return err
	}
	token := s.Token()
	if token == v.token {
		return nil
	}
	cookie := http.Cookie{
		Name:     v.gate.cookie.Name,
		Value:    token,
		Path:     "/",
		HttpOnly: true,
		Secure:   !v.gate.cookie.Insecure,
		SameSite: http.SameSiteLaxMode,
	}
	if token == "" {
		cookie.MaxAge = -1
	}
	header.Add("Set-Cookie", cookie.String())
	header.Add("Cache-Control", `no-cache="Set-Cookie"`)
	v.token, v.told = token, token != ""
	return nil
}

// saveLate stores what was changed after the header went out.
func (v *visit) saveLate() {
	s := v.asked()
	if s == nil || v.lost {
		return
	}
	ctx := context.WithoutCancel(v.request.Context())
	switch token := s.Token(); {
	case token == "" && len(s.Names()) > 0, token != "" && token != v.token:
		v.gate.onError(v.request, ErrHeaderSent)
		if token == "" {
			return // stored, it would be nobody's
		}
	}
	if _, err := s.SaveOrEnd(ctx); err != nil {
		v.gate.onError(v.request, err)
	}
}

func logError(r *http.Request, err error) {
	slog.WarnContext(r.Context(), "the session was not saved", "error", err)
}

// responseWriter saves the session before the header goes out.
type responseWriter struct {
	http.ResponseWriter
	visit *visit
	begun bool
	err   error // why it is a 500
}

// begin saves the session, once, and tells whether the handler's response may go out.
func (w *responseWriter) begin() bool {
	if w.begun {
		return w.err == nil
	}
	w.begun = true
	header := w.Header()
	if w.err = w.visit.save(header); w.err == nil {
		return true
	}
	w.visit.gate.onError(w.visit.request, w.err)
	for _, name := range []string{"Content-Length", "Content-Encoding", "Content-Range", "Etag", "Last-Modified",
		"Cache-Control", "Location"} {
		header.Del(name)
	}
	http.Error(w.ResponseWriter, "Internal Server Error", http.StatusInternalServerError)
	return false
}

func (w *responseWriter) WriteHeader(status int) {
	if 100 <= status && status < 200 && status != http.StatusSwitchingProtocols {
		w.ResponseWriter.WriteHeader(status) // the header is still to come
		return
	}
	if w.begin() {
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *responseWriter) Write(data []byte) (int, error) {
	if !w.begin() {
		return 0, w.err
	}
	return w.ResponseWriter.Write(data)
}

// ReadFrom keeps the way by which files are sent.
func (w *responseWriter) ReadFrom(source io.Reader) (int64, error) {
	if !w.begin() {
		return 0, w.err
	}
	return io.Copy(w.ResponseWriter, source)
}

// Flush is for those who ask for an http.Flusher; http.ResponseController uses FlushError.
func (w *responseWriter) Flush() { _ = w.FlushError() }

func (w *responseWriter) FlushError() error {
	if !w.begin() {
		return w.err
	}
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Hijack saves the session; whoever takes the connection writes his own header, without its cookie.
// OnError hears of a cookie that is lost so.
func (w *responseWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	if !w.begin() {
		return nil, nil, w.err
	}
	if w.visit.told {
		w.visit.gate.onError(w.visit.request, ErrHeaderSent)
	}
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// Unwrap is for http.ResponseController.
func (w *responseWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
