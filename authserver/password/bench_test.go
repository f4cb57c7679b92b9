package password

import (
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
	"github.com/tallystick/tallystick/storage/storagetest/engine"
)

// BenchmarkVerifyAgainstBare measures a sign-in against argon2id alone with the same parameters, in
// turns, and reports how much of the bare rate is left: bare-ratio 1 means that all else is free.
func BenchmarkVerifyAgainstBare(b *testing.B) {
	store := engine.Open(b)
	c, err := New(Config{Users: store})
	if err != nil {
		b.Fatal(err)
	}
	pw := secret.New("correct horse battery staple")
	h, err := c.Hash(b.Context(), pw)
	if err != nil {
		b.Fatal(err)
	}
	if err := store.CreateUser(b.Context(), storage.User{ID: "u1", Username: "tom", Password: h, CreatedAt: at, UpdatedAt: at}); err != nil {
		b.Fatal(err)
	}
	var bare, whole time.Duration
	salt := make([]byte, saltLength)
	for b.Loop() {
		began := time.Now()
		argon2.IDKey([]byte(pw.Reveal()), salt, DefaultTime, DefaultMemory, DefaultThreads, keyLength)
		between := time.Now()
		if _, err := c.Verify(b.Context(), "tom", pw); err != nil {
			b.Fatal(err)
		}
		bare += between.Sub(began)
		whole += time.Since(between)
	}
	ratio := float64(bare) / float64(whole)
	if b.N >= 20 && ratio < 0.8 {
		b.Errorf("verifying leaves only %.2f of the rate of bare argon2id; the floor is 0.8", ratio)
	}
	b.ReportMetric(ratio, "bare-ratio")
	b.ReportMetric(float64(whole.Milliseconds())/float64(b.N), "verify-ms")
}
