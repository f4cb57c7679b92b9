package client_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"testing"
	"time"

	"github.com/tallystick/tallystick/authserver/client"
	"github.com/tallystick/tallystick/authserver/oauth"
)

// BenchmarkAuthenticate measures what the token endpoint asks of this package (authentication and
// the rules) against one Ed25519 signature, in turns: signing-share is how much of bare signing's
// rate is left when both are done.
func BenchmarkAuthenticate(b *testing.B) {
	const batch = 64
	s := setup(b, func(c *client.Config) { c.Now = time.Now })
	cr := client.Credentials{Basic: basic("billing", s.create(b, "billing", nil))}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	message := make([]byte, 400)
	var signing, asking time.Duration
	b.ReportAllocs()
	for b.Loop() {
		began := time.Now()
		for range batch {
			ed25519.Sign(key, message)
		}
		between := time.Now()
		for range batch {
			c, err := s.Authenticate(b.Context(), cr)
			if err != nil {
				b.Fatal(err)
			}
			if err := client.MayGrant(c, oauth.GrantClientCredentials); err != nil {
				b.Fatal(err)
			}
			if _, err := client.Scope(c, ""); err != nil {
				b.Fatal(err)
			}
		}
		signing += between.Sub(began)
		asking += time.Since(between)
	}
	share := float64(signing) / float64(signing+asking)
	if b.N >= 20 && share < 0.9 {
		b.Errorf("with authentication only %.2f of the rate of signing is left; the floor is 0.9", share)
	}
	b.ReportMetric(share, "signing-share")
	b.ReportMetric(float64(asking.Nanoseconds())/float64(b.N*batch), "ns/authentication")
}
