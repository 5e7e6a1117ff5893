package main

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
)

const (
	smallAnswer = 200
	largeAnswer = 8 << 20 // more than what buffers of the kernel hold between here and a client that does not read
)

// newUpstream answers with 200 bytes, after the whole body of the request has come; /large answers with 8 MiB.
func newUpstream() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", answer(bytes.Repeat([]byte("countersign"), 1+smallAnswer/11)[:smallAnswer]))
	mux.HandleFunc("/large", answer(make([]byte, largeAnswer)))
	return mux
}

func answer(body []byte) http.HandlerFunc {
	length := []string{strconv.Itoa(len(body))}
	kind := []string{"text/plain"}
	return func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				http.Error(w, "body", http.StatusBadRequest)
				return
			}
		}
		w.Header()["Content-Length"], w.Header()["Content-Type"] = length, kind
		_, _ = w.Write(body) // who has gone cannot be told
	}
}
