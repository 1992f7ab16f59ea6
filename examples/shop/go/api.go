package main

import (
	"encoding/json"
	"errors"
	"io"
	"log"
	"mime"
	"net/http"

	sessiongate "github.com/f0rmiga/sessiongate/clients/go"
)

type object map[string]any // of JSON

// failure is an answer that is no success.
type failure struct {
	status int
	text   string
}

func (f failure) Error() string { return f.text }

// api is a handler of the request's session and of the object that a POST has sent; what it returns is the
// answer, as JSON.
type api func(r *http.Request, session *sessiongate.Session, data object) (any, error)

func (handle api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := handle.answer(w, r)
	status, refused := http.StatusOK, failure{}
	switch {
	case errors.As(err, &refused):
		status, answer = refused.status, object{"error": refused.text}
	case errors.Is(err, sessiongate.ErrNoSession):
		status, answer = http.StatusConflict, object{"error": "your session has ended meanwhile"}
	case err != nil:
		log.Print(err)
		status, answer = http.StatusServiceUnavailable, object{"error": "there are no sessions now"}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}

func (handle api) answer(w http.ResponseWriter, r *http.Request) (any, error) {
	var data object
	if r.Method == http.MethodPost {
		// Another site's form cannot send this type: no request of another site does anything here.
		if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/json" {
			return nil, failure{http.StatusUnsupportedMediaType, "send application/json"}
		}
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1000)).Decode(&data)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, failure{http.StatusBadRequest, "this body is not read"}
		}
	}
	session, err := sessiongate.FromContext(r.Context())
	if err != nil {
		return nil, err
	}
	return handle(r, session, data)
}
