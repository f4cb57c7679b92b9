package password

import (
	"errors"
	"strings"
	"testing"

	"github.com/tallystick/tallystick/keys/secret"
	"github.com/tallystick/tallystick/storage"
)

// foreign are hashes made by other software, of the password beside them.
var foreign = []struct {
	name      string
	hash      storage.PasswordHash
	password  string
	algorithm Algorithm
}{
	{"argon2id, reference implementation", "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", "password", Argon2id},
	{"argon2id, two lanes", "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc", "password", Argon2id},
	{"argon2i, reference implementation", "$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$iekCn0Y3spW+sCcFanM2xBT63UP2sghkUoHLIUpWRS8", "password", Argon2i},
	{"bcrypt 2a, libxcrypt", "$2a$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e", "correct horse", Bcrypt},
	{"bcrypt 2b, libxcrypt", "$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e", "correct horse", Bcrypt},
	{"bcrypt 2y, libxcrypt", "$2y$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e", "correct horse", Bcrypt},
	{"bcrypt of a long password", "$2b$04$abcdefghijklmnopqrstuubzadhGtS2zEF.gu0yd0opP6cVzb.e0i", strings.Repeat("x", 72) + "tail", Bcrypt},
	{"Django, SHA-1", "pbkdf2_sha1$1000$saltsalt$wQoBU7GXMNo2CJC+raijrf6key4=", "correct horse", PBKDF2},
	{"Django, SHA-256", "pbkdf2_sha256$1000$saltsalt$qQDPSZa3Ormyy9oK1Pu0ZLLwP2Svzmx3yu8OvDdq/J0=", "correct horse", PBKDF2},
	{"Django, SHA-512", "pbkdf2_sha512$1000$saltsalt$+sUSD8jw4f8ns7m9b7kj8PeJLe8lJXO8Am09BLgO79kST9D/Ija5aKINGF5Xg7hkKXw1+fNhBzzJP3eIXcWXww==", "correct horse", PBKDF2},
	{"passlib, SHA-1", "$pbkdf2$1000$../.AQIDBAU$Cehla4GbEfp865vQrwvxNuzdCn4", "correct horse", PBKDF2},
	{"passlib, SHA-256", "$pbkdf2-sha256$1000$../.AQIDBAU$NlBPPox9QcdOAK8VMQGEUij7EyO2S.lCWq3MTGElu1o", "correct horse", PBKDF2},
	{"passlib, SHA-512", "$pbkdf2-sha512$1000$../.AQIDBAU$hI.s1sAptBTGOxAmNM2NdHtaoYCZKKXj3eZx5BfD2IRKq.U05Egcf29.F0t31/boTFThS5uC.oXTWRABRIfCow", "correct horse", PBKDF2},
	{"MD5, salt behind", "{md5}2741137c32ddedeeb868e4484b429679$s4lt$suffix", "correct horse", MD5},
	{"MD5, salt before", "{md5}23899c6974cd8c90f085a14355699a5a$s4lt$prefix", "correct horse", MD5},
	{"MD5, nested", "{md5}e4826c88ac5a4471ea0a4f092911e4a3$s4lt$nested", "correct horse", MD5},
	{"SHA-1, salt in hexadecimal", "{sha1}21866f33f94deb7e976900157fa9d6e21549d362$00ff10$prefix-hex", "correct horse", SHA1},
	{"SHA-256, a dollar in the salt", "{sha256}430ebb051c65b5a17c510fa5e78669f3480b80fed7c3059b3e8de15a9ef00dae$a$b$suffix", "correct horse", SHA256},
	{"SHA-256, no salt", "{sha256}4104d36f8da2c254349f85836793ebe029e0c957063a34c91c2e9203187b5631$$suffix", "correct horse", SHA256},
	{"HMAC-SHA1", "{hmac-sha1}017bd42eb36ba206dddd4a7bcf7cf8106b32485b$old-site", "correct horse", HMACSHA1},
	{"HMAC-SHA1, a short password", "{hmac-sha1}de031e91ee1bcb33909f8a4e78c227958a679b63$php", "8888", HMACSHA1},
}

func TestForeignHashesVerify(t *testing.T) {
	t.Parallel()
	c := cheap(t, nil)
	for _, f := range foreign {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			algorithm, err := c.Recognise(f.hash)
			if err != nil || algorithm != f.algorithm {
				t.Fatalf("recognised as %q, %v", algorithm, err)
			}
			for pw, want := range map[string]bool{f.password: true, f.password + "!": f.name == "bcrypt of a long password", "": false, "wrong": false} {
				if got, err := c.Matches(t.Context(), f.hash, secret.New(pw)); err != nil || got != want {
					t.Errorf("password of %d bytes: %v, %v; want %v", len(pw), got, err, want)
				}
			}
		})
	}
}

func TestHashesBeyondTheLimitsAreRefused(t *testing.T) {
	t.Parallel()
	const salt, key = "c29tZXNhbHQ", "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	digits := strings.Repeat("0", 32)
	c := cheap(t, nil)
	for name, h := range map[string]storage.PasswordHash{
		"empty":                           "",
		"plain text":                      "hunter2hunter2",
		"not ASCII":                       "{md5}ü",
		"a line break":                    "{md5}" + storage.PasswordHash(digits) + "$a\nb$suffix",
		"too long":                        storage.PasswordHash("{md5}" + digits + "$" + strings.Repeat("s", 500) + "$suffix"),
		"argon2: 10 GiB":                  "$argon2id$v=19$m=10485760,t=1,p=1$" + salt + "$" + key,
		"argon2: 2^32 KiB":                "$argon2id$v=19$m=4294967296,t=1,p=1$" + salt + "$" + key,
		"argon2: 100 passes":              "$argon2id$v=19$m=1024,t=100,p=1$" + salt + "$" + key,
		"argon2: work over all passes":    "$argon2id$v=19$m=262144,t=5,p=1$" + salt + "$" + key,
		"argon2: no passes":               "$argon2id$v=19$m=1024,t=0,p=1$" + salt + "$" + key,
		"argon2: no lanes":                "$argon2id$v=19$m=1024,t=1,p=0$" + salt + "$" + key,
		"argon2: 255 lanes":               "$argon2id$v=19$m=1024,t=1,p=255$" + salt + "$" + key,
		"argon2: negative":                "$argon2id$v=19$m=-1024,t=1,p=1$" + salt + "$" + key,
		"argon2: order of parameters":     "$argon2id$v=19$t=1,m=1024,p=1$" + salt + "$" + key,
		"argon2: old version":             "$argon2id$v=16$m=1024,t=1,p=1$" + salt + "$" + key,
		"argon2d":                         "$argon2d$v=19$m=1024,t=1,p=1$" + salt + "$" + key,
		"argon2: padded salt":             "$argon2id$v=19$m=1024,t=1,p=1$" + salt + "==$" + key,
		"argon2: short salt":              "$argon2id$v=19$m=1024,t=1,p=1$c2Fs$" + key,
		"argon2: hash of no bytes":        "$argon2id$v=19$m=1024,t=1,p=1$" + salt + "$",
		"argon2: a part too many":         "$argon2id$v=19$m=1024,t=1,p=1$" + salt + "$" + key + "$x",
		"bcrypt: cost 31":                 "$2b$31$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e",
		"bcrypt: cost 15":                 "$2b$15$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e",
		"bcrypt: cost 03":                 "$2b$03$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e",
		"bcrypt: 2x":                      "$2x$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e",
		"bcrypt: cut off":                 "$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6",
		"bcrypt: foreign character":       "$2b$04$abcdefghijklmnopqrstuu!ydOTSfIH/d5oUHpsygqV5X9xJLQc6e",
		"PBKDF2: a billion":               "pbkdf2_sha256$1000000000$saltsalt$qQDPSZa3Ormyy9oK1Pu0ZLLwP2Svzmx3yu8OvDdq/J0=",
		"PBKDF2: none":                    "pbkdf2_sha256$0$saltsalt$qQDPSZa3Ormyy9oK1Pu0ZLLwP2Svzmx3yu8OvDdq/J0=",
		"PBKDF2: no salt":                 "pbkdf2_sha256$1000$$qQDPSZa3Ormyy9oK1Pu0ZLLwP2Svzmx3yu8OvDdq/J0=",
		"PBKDF2: a key of several blocks": "pbkdf2_sha1$1000$saltsalt$qQDPSZa3Ormyy9oK1Pu0ZLLwP2Svzmx3yu8OvDdq/J0=",
		"PBKDF2: unknown digest":          "pbkdf2_md5$1000$saltsalt$qQDPSZa3Ormyy9oK1Pu0ZLLwP2Svzmx3yu8OvDdq/J0=",
		"PBKDF2: not base64":              "$pbkdf2-sha256$1000$a$b",
		"PBKDF2: three parts":             "$pbkdf2-sha256$1000$../.AQIDBAU",
		"digest: unknown":                 "{crc32}00000000$s$suffix",
		"digest: cut off":                 "{sha1}" + storage.PasswordHash(digits) + "$s$suffix",
		"digest: no salt part":            "{md5}" + storage.PasswordHash(digits),
		"digest: no order":                "{md5}" + storage.PasswordHash(digits) + "$s",
		"digest: unknown order":           "{md5}" + storage.PasswordHash(digits) + "$s$around",
		"digest: salt not hexadecimal":    "{md5}" + storage.PasswordHash(digits) + "$xy$suffix-hex",
		"keyed: no such key":              "{hmac-sha1}017bd42eb36ba206dddd4a7bcf7cf8106b32485b$other",
		"keyed: no key":                   "{hmac-sha1}017bd42eb36ba206dddd4a7bcf7cf8106b32485b",
		"keyed: cut off":                  "{hmac-sha1}017bd42e$old-site",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := c.Recognise(h)
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("recognised: %v", err)
			}
			if len(h) > 8 && strings.Contains(err.Error(), string(h)[6:]) {
				t.Errorf("the error shows the hash: %v", err)
			}
			if right, err := c.Matches(t.Context(), h, secret.New("password")); right || !errors.Is(err, ErrFormat) {
				t.Errorf("matches: %v, %v", right, err)
			}
		})
	}
}

func FuzzRecognise(f *testing.F) {
	for _, h := range foreign {
		f.Add(string(h.hash))
	}
	f.Add("$argon2id$v=19$m=4294967295,t=4294967295,p=255$c29tZXNhbHQ$")
	f.Add("{md5}$$$$")
	c := cheap(f, nil)
	f.Fuzz(func(t *testing.T, s string) {
		h, err := c.parse(storage.PasswordHash(s))
		if err != nil {
			if !errors.Is(err, ErrFormat) || h != nil {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		switch h := h.(type) { // whatever was accepted is within the limits
		case *argon2Hash:
			if h.memory > maxMemory || uint64(h.memory)*uint64(h.time) > maxWork || h.lanes > maxLanes || h.time == 0 || h.lanes == 0 {
				t.Fatalf("accepted %+v", h.parameters)
			}
		case *pbkdf2Hash:
			if h.iterations < 1 || h.iterations > maxIterations {
				t.Fatalf("accepted %d iterations", h.iterations)
			}
		case *bcryptHash:
			if string(h.encoded[4:6]) > "14" {
				t.Fatalf("accepted cost %s", h.encoded[4:6])
			}
		default:
			h.matches([]byte("password")) // cheap, and must not panic
		}
	})
}
