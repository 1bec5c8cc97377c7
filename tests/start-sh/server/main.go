// A stand-in for Torch's /gen, for the test of start.sh: server DIRECTORY
//
// Serves https://127.0.0.1:<port>/<what>/<any key>/gen, where <what> names the behaviour. Writes into
// DIRECTORY ca.crt (its CA), other-ca.crt (a CA that it has nothing to do with), and at last url.
package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	token     = "header.payload_of-the.token"
	question  = `{"podName":"da-full-1-0"}`
	addresses = "/dns/da-bridge-1-0.da-bridge-1/tcp/2121/p2p/12D3KooWA,/ip6/::1/tcp/2121/p2p/12D3KooWB"
)

func main() {
	dir := os.Args[1]
	ca, key := newCA("ca")
	other, _ := newCA("another ca")
	writePEM(filepath.Join(dir, "ca.crt"), ca.Raw)
	writePEM(filepath.Join(dir, "other-ca.crt"), other.Raw)

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	check(os.WriteFile(filepath.Join(dir, "url"), []byte("https://"+listener.Addr().String()), 0o644))
	server := &http.Server{
		Handler:   &gen{asked: map[string]int{}},
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{leaf(ca, key)}},
		ErrorLog:  log.New(io.Discard, "", 0), // refused handshakes are part of the test
	}
	check(server.ServeTLS(listener, "", ""))
}

// gen answers as the path says, and counts how often each path was asked.
type gen struct {
	mutex sync.Mutex
	asked map[string]int
}

func (g *gen) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if wrong := whatIsWrong(r); wrong != "" {
		http.Error(w, wrong, http.StatusBadRequest)
		return
	}
	g.mutex.Lock()
	g.asked[r.URL.Path]++
	times := g.asked[r.URL.Path]
	g.mutex.Unlock()

	switch what := strings.Split(r.URL.Path, "/")[1]; {
	case what == "known", what == "later" && times > 1:
		fmt.Fprintln(w, addresses)
	case what == "later", what == "never":
		unavailable(w, "1")
	case what == "busy":
		unavailable(w, "15")
	case what == "hostile":
		fmt.Fprintln(w, `/dns/x/tcp/1/p2p/Q"; touch "$EXECUTED"; $(touch "$EXECUTED")`)
	case what == "elsewhere":
		http.Redirect(w, r, "/known/elsewhere/gen", http.StatusTemporaryRedirect)
	default:
		http.Error(w, "no such pod", http.StatusNotFound)
	}
}

func unavailable(w http.ResponseWriter, retryAfter string) {
	w.Header().Set("Retry-After", retryAfter)
	http.Error(w, "nothing known yet", http.StatusServiceUnavailable)
}

// whatIsWrong compares the request with what Torch's /gen takes from a node.
func whatIsWrong(r *http.Request) string {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 1024))
	for _, part := range []struct{ name, got, want string }{
		{"method", r.Method, http.MethodPost},
		{"Content-Type", strings.Join(r.Header["Content-Type"], "|"), "application/json"},
		{"Accept", strings.Join(r.Header["Accept"], "|"), "text/plain"},
		{"Authorization", strings.Join(r.Header["Authorization"], "|"), "Bearer " + token},
		{"body", string(body), question},
	} {
		if part.got != part.want {
			return fmt.Sprintf("%s is %q, not %q", part.name, part.got, part.want)
		}
	}
	if tokenOnACommandLine() {
		return "the token can be read on a command line"
	}
	return ""
}

// tokenOnACommandLine looks while the client still waits for its answer.
func tokenOnACommandLine() bool {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, file := range files {
		if line, err := os.ReadFile(file); err == nil && bytes.Contains(line, []byte(token)) {
			return true
		}
	}
	return false
}

func newCA(name string) (*x509.Certificate, *ecdsa.PrivateKey) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: name},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}
	key := newKey()
	return sign(template, template, key, key), key
}

func leaf(ca *x509.Certificate, caKey *ecdsa.PrivateKey) tls.Certificate {
	key := newKey()
	cert := sign(&x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}, ca, key, caKey)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

func newKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	return key
}

func sign(cert, issuer *x509.Certificate, key, issuerKey *ecdsa.PrivateKey) *x509.Certificate {
	cert.SerialNumber = big.NewInt(time.Now().UnixNano())
	cert.NotBefore = time.Now().Add(-time.Hour)
	cert.NotAfter = time.Now().Add(time.Hour)
	der, err := x509.CreateCertificate(rand.Reader, cert, issuer, &key.PublicKey, issuerKey)
	check(err)
	signed, err := x509.ParseCertificate(der)
	check(err)
	return signed
}

func writePEM(path string, der []byte) {
	check(os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
