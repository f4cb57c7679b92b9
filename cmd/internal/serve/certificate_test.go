package serve

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestRenewedCertificateIsPickedUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := &certificate{certFile: filepath.Join(dir, "cert"), keyFile: filepath.Join(dir, "key"), log: slog.New(slog.DiscardHandler)}
	age := time.Now().Add(-time.Hour)
	renew := func(serial int64) {
		t.Helper()
		public, private, err := ed25519.GenerateKey(nil)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(serial)}
		cert, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
		if err != nil {
			t.Fatal(err)
		}
		key, err := x509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			t.Fatal(err)
		}
		write(t, c.certFile, "CERTIFICATE", cert)
		write(t, c.keyFile, "PRIVATE KEY", key)
		age = age.Add(time.Minute)
		if err := os.Chtimes(c.certFile, age, age); err != nil {
			t.Fatal(err)
		}
	}
	serves := func(want int64) {
		t.Helper()
		got, err := c.get(nil)
		if err != nil {
			t.Fatal(err)
		}
		if leaf, err := x509.ParseCertificate(got.Certificate[0]); err != nil || leaf.SerialNumber.Int64() != want {
			t.Errorf("serves %v, want %d (%v)", leaf.SerialNumber, want, err)
		}
	}
	renew(1)
	if err := c.load(); err != nil {
		t.Fatal(err)
	}
	renew(2)
	serves(1) // the file is not looked at on every handshake
	c.checked = time.Time{}
	serves(2)

	var logged bytes.Buffer
	c.log = slog.New(slog.NewTextHandler(&logged, nil))
	if err := os.WriteFile(c.certFile, []byte("half of it"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.checked = time.Time{}
	serves(2) // a broken renewal leaves the old one in place
	if !bytes.Contains(logged.Bytes(), []byte("certificate not renewed")) {
		t.Errorf("the log says %q", &logged)
	}
	renew(3)
	c.checked = time.Time{}
	serves(3)
}

func write(t *testing.T, file, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
