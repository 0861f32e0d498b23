// Receiver is a webhook receiver to try the gateway with: it verifies each signature by the Standard Webhooks library,
// prints what it got, and answers with a text.
//
//	go run ./examples/receiver whsec_…
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

func main() {
	if len(os.Args) != 2 {
		log.Fatal("usage: receiver SECRET")
	}
	verifier, err := standardwebhooks.NewWebhook(os.Args[1])
	if err != nil {
		log.Fatal("the secret is not one: ", err)
	}
	http.HandleFunc("POST /hook", func(w http.ResponseWriter, r *http.Request) {
		payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			return
		}
		if err := verifier.Verify(payload, r.Header); err != nil {
			log.Print("refused: ", err)
			http.Error(w, "bad signature", http.StatusUnauthorized)
			return
		}
		// #nosec G706 -- who sends this has the secret: it was just verified
		log.Printf("%s attempt %s: %s", r.Header.Get("Carillon-Topic"), r.Header.Get("Carillon-Attempt"), payload)
		// #nosec G705 -- the id is part of what was verified, and browsers do not come here
		fmt.Fprintf(w, "thank you for %s\n", r.Header.Get("webhook-id"))
	})
	listener, err := net.Listen("tcp", "127.0.0.1:3000")
	if err != nil {
		log.Fatal(err)
	}
	log.Print("receiving on http://127.0.0.1:3000/hook")
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second}
	log.Fatal(server.Serve(listener))
}
