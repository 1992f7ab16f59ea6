package sessiongate

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/f0rmiga/sessiongate/clients/go/internal/lend"
	"github.com/redis/go-redis/v9"
)

// offline is a Gate that is never asked to send anything.
func offline(t testing.TB, options Options) *Gate {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	t.Cleanup(func() { _ = client.Close() })
	gate, err := New(client, options)
	if err != nil {
		t.Fatal(err)
	}
	return gate
}

type vector struct {
	What     string
	SignKey  string `json:"sign_key_hex"`
	Token    string
	TokenHex string `json:"token_hex"`
	Form     TokenFormat
	Error    string
}

func vectors(t testing.TB) (good, bad []vector) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(lend.Top(), "clients", "testing", "vectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var all struct{ Good, Bad []vector }
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	if len(all.Good) == 0 || len(all.Bad) == 0 {
		t.Fatal("vectors.json is empty")
	}
	return all.Good, all.Bad
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	data, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestGoodVectorsVerifyWithTheirKeyAndForm(t *testing.T) {
	good, _ := vectors(t)
	for _, v := range good {
		gate := offline(t, Options{SignKeys: [][]byte{[]byte("another"), unhex(t, v.SignKey)}})
		if verified, ok := gate.Verify(v.Token); !ok || verified != (Verified{1, v.Form}) {
			t.Errorf("%s: %v %v", v.What, verified, ok)
		}
	}
}

func TestBadVectorsAreRefusedWithTheirCode(t *testing.T) {
	_, bad := vectors(t)
	for _, v := range bad {
		gate := offline(t, Options{SignKeys: [][]byte{unhex(t, v.SignKey)}})
		token := string(unhex(t, v.TokenHex))
		if _, ok := gate.Verify(token); ok {
			t.Errorf("%s: verified", v.What)
		}
		if _, _, err := gate.keyOf("PGET", token); !errors.Is(err, errorOfCode[v.Error]) {
			t.Errorf("%s: %v instead of %s", v.What, err, v.Error)
		}
	}
}

func TestMintedTokensVerifyAndDrawEachCharacterAlike(t *testing.T) {
	for _, format := range []TokenFormat{V1, V2} {
		gate := offline(t, Options{SignKeys: [][]byte{[]byte("k")}, TokenFormat: format})
		const tokens = 5000
		seen, counts, drawn := map[string]bool{}, map[byte]int{}, 0
		for i := 0; i < tokens; i++ {
			token, err := gate.Mint()
			if err != nil {
				t.Fatal(err)
			}
			if verified, ok := gate.Verify(token); !ok || verified.Format != format {
				t.Fatalf("%s does not verify as %s", token, format)
			}
			id := strings.Split(token, ".")[1]
			if format == V2 {
				id += token[len(token)-v2PadLen:]
			}
			for _, c := range []byte(id) {
				counts[c]++
				drawn++
			}
			seen[token] = true
		}
		if len(seen) != tokens || len(counts) != len(alphabet) {
			t.Errorf("%s: %d tokens differ, %d characters are used", format, len(seen), len(counts))
		}
		expected, chi := float64(drawn)/float64(len(alphabet)), 0.0
		for _, count := range counts {
			chi += math.Pow(float64(count)-expected, 2) / expected
		}
		if chi > 150 { // 61 degrees of freedom: by chance once in 10^8
			t.Errorf("%s: characters are not drawn alike: chi square %.0f", format, chi)
		}
	}
}

func TestDerivedTokensAreTheSecretsOwn(t *testing.T) {
	one := offline(t, Options{SignKeys: [][]byte{[]byte("k1"), []byte("k2")}})
	tokens := one.Derive("secret")
	for position, token := range tokens {
		if verified, ok := one.Verify(token); !ok || verified != (Verified{position, V2}) {
			t.Errorf("%v %v", verified, ok)
		}
	}
	if again := one.Derive("secret"); again[0] != tokens[0] || again[1] != tokens[1] || len(tokens) != 2 {
		t.Error("the same secret has others")
	}
	if other := one.Derive("secret2"); other[0] == tokens[0] || tokens[0] == tokens[1] {
		t.Error("another secret or key has the same")
	}
}

// FuzzVerify compares the parser with the plainest description of a token: a changed byte never
// verifies, except in the pad, and nothing makes it panic.
func FuzzVerify(f *testing.F) {
	good, bad := vectors(f)
	for _, v := range good {
		f.Add(unhex(f, v.SignKey), []byte(v.Token))
	}
	for _, v := range bad {
		f.Add(unhex(f, v.SignKey), unhex(f, v.TokenHex))
	}
	f.Add([]byte("k"), []byte{})
	f.Add([]byte("k"), bytes.Repeat([]byte("."), v1Len))
	f.Add([]byte("k"), bytes.Repeat([]byte("a"), v2Len))
	f.Fuzz(func(t *testing.T, key, token []byte) {
		if len(key) == 0 {
			return
		}
		k := newSignKey(key)
		p, ok := parse(string(token))
		if !ok {
			return
		}
		fields := strings.Split(string(token), ".")
		if len(fields) != 3 || fields[0] != string(p.format) {
			t.Fatalf("%q is no token, and was parsed", token)
		}
		pad := fields[2][len(p.signature):]
		if rebuilt := k.token(p.format, fields[1], pad); k.signed(p) != (rebuilt == string(token)) {
			t.Fatalf("%q: signed is %v, and its key would make %q", token, k.signed(p), rebuilt)
		}
	})
}

func TestOptionsThatCannotHoldAreRefused(t *testing.T) {
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer func() { _ = client.Close() }()
	key := [][]byte{[]byte("k")}
	for what, options := range map[string]Options{
		"no sign key":       {},
		"an empty sign key": {SignKeys: [][]byte{[]byte("k"), {}}},
		"a negative TTL":    {SignKeys: key, TTL: -1},
		"a negative MaxTTL": {SignKeys: key, MaxTTL: -1},
		"no token format":   {SignKeys: key, TokenFormat: "v3"},
	} {
		if gate, err := New(client, options); err == nil || gate != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := New(nil, Options{SignKeys: key}); err == nil {
		t.Error("no client: made")
	}
}

func TestTheRefreshIsAtMostATenthOfTheLife(t *testing.T) {
	for _, c := range []struct{ ttl, refresh, want int64 }{
		{0, 0, 60}, {1800, 600, 180}, {100, 0, 10}, {1800, 30, 30}, {1800, -1, 0}, {19, 0, 1}, {9, 0, 0},
	} {
		gate := offline(t, Options{SignKeys: [][]byte{[]byte("k")}, TTL: sec(c.ttl), Refresh: sec(c.refresh)})
		if got := seconds(gate.minAge); got != c.want {
			t.Errorf("ttl %d, refresh %d: MINAGE %d instead of %d", c.ttl, c.refresh, got, c.want)
		}
	}
}
