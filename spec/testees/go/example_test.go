package main

// Chapter 14: every value of the example, read from its text, and what breaks it.

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestMain(m *testing.M) {
	if err := loadTables(); err != nil {
		panic(err)
	}
	compileShapes()
	os.Exit(m.Run())
}

// chapter gives the values of chapter 14, by the words in bold before them.
func chapter(t *testing.T) map[string]string {
	text, err := os.ReadFile(filepath.Join(specFolder(), "14-example.md"))
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	block := regexp.MustCompile("(?s)\\*\\*([a-z ]+)\\*\\*[^`]*?(?:`[^`\n]*`[^`]*?)*:\n\n```text\n(.*?)\n```")
	for _, found := range block.FindAllStringSubmatch(string(text), -1) {
		values[found[1]] = found[2]
	}
	return values
}

func unhex(t *testing.T, text string) []byte {
	data, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func expect(t *testing.T, what, got, wanted string) {
	t.Helper()
	if got != wanted || wanted == "" {
		t.Errorf("%s: got %q, wanted %q", what, got, wanted)
	}
}

func TestExample(t *testing.T) {
	values := chapter(t)
	seed := unhex(t, values["seed"])
	public, _ := signBytes(seed, nil)
	expect(t, "public key", hex.EncodeToString(public), values["public key"])
	expect(t, "did", encodeDid(public), values["did"])
	carrier, id, err := sign(seed, values["envelope"])
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "message id", id, values["message id"])
	expect(t, "carrier", string(carrier), values["carrier"])

	expect(t, "plaintext digest", digest([]byte(values["plaintext"])), values["plaintext digest"])
	text, err := openText(unhex(t, values["seal secret"]), values["info"], values["sealed"], values["plaintext digest"])
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "sealed text", text, "Grüße")
	if damaged := damagedLines([]byte(values["transcript"] + "\n")); len(damaged) != 0 {
		t.Errorf("transcript: lines %v are damaged", damaged)
	}
	if damaged := damagedLines([]byte(values["transcript"])); len(damaged) != 1 {
		t.Errorf("transcript without its last line feed: lines %v are damaged", damaged)
	}
}

func TestBroken(t *testing.T) {
	values := chapter(t)
	seed, envelope, carrier := unhex(t, values["seed"]), values["envelope"], values["carrier"]
	other := values["recipient did"]
	spoil := func(before, after string) string { return strings.Replace(carrier, before, after, 1) }
	resign := func(before, after string) string {
		env := strings.Replace(envelope, before, after, 1)
		public, signature := signBytes(seed, encoding(envelopeType, env))
		return string(appendJSON(nil, object{
			{"clawnet", "1"}, {"kid", encodeDid(public)}, {"env", env}, {"sig", encodeBytes(signature)},
		}))
	}
	for _, c := range []struct{ text, code string }{
		{carrier, ""},
		{spoil(`"clawnet":"1"`, `"clawnet":"2"`), "version.unsupported"},
		{spoil(`7c7","env"`, `7c0","env"`), "key.malformed"},
		{spoil(`xAg"`, `xAB"`), "signature.malformed"},
		{spoil("ALICE1", "ALICE2"), "signature.invalid"},
		{spoil("{", `{"x":1,`), "carrier.malformed"},
		{spoil("{", `{"sig":1,`), ""},
		{spoil("{", `{"Sig":"x",`), "carrier.malformed"},
		{carrier + " \n", ""},
		{carrier + "{}", "carrier.not_json"},
		{"\ufeff" + carrier, "carrier.not_json"},
		{spoil("ALICE1", `\ud800`), "carrier.malformed"},
		{spoil("ALICE1", "\xff"), "carrier.not_json"},
		{strings.Repeat("[", 20000), "carrier.not_json"},
		{strings.Repeat("[", 20000) + strings.Repeat("]", 20000), "carrier.malformed"},
		{strings.Repeat(" ", 49152-len(carrier)) + carrier, ""},
		{strings.Repeat(" ", 49153-len(carrier)) + carrier, "size.carrier"},
		{resign("{", "{ "), "canonical.whitespace"},
		{resign(`"sender":"`+values["did"], `"sender":"`+other), ""},
		{resign(`"kid":"`+values["did"], `"kid":"`+other), "carrier.mismatch"},
		{resign("hello", "howdy"), "type.unknown"},
		{resign(`"versions":["1"]`, `"versions":[]`), "schema.body"},
		{resign(`"versions":["1"]`, `"versions":["1\n"]`), "schema.body"},
		{resign(`"device"`, `"Device"`), "canonical.key"},
		{resign(`,"expires_ms":1767225660000`, ""), "schema.envelope"},
		{resign(`{"body"`, `{"answers":"`+values["message id"]+`","body"`), "schema.body"},
		{resign(`"expires_ms"`, `"critical":["x"],"expires_ms"`), "critical.unsupported"},
		{resign(`"expires_ms"`, `"critical":["x\n"],"expires_ms"`), "schema.envelope"},
	} {
		code := ""
		if _, err := verify(c.text); err != nil {
			code = err.Error()
		}
		if code != c.code {
			t.Errorf("%.80s: got %q, wanted %q", c.text, code, c.code)
		}
	}
}

func TestRanking(t *testing.T) {
	values := chapter(t)
	key := values["message id"] + "\x00draft"
	scores := map[string][2]float64{values["did"]: {1, 8.682789}, values["recipient did"]: {0.5, 0.292703}}
	for did, expected := range scores {
		if got := score(key, did, expected[0]); got < expected[1]-1e-6 || got > expected[1]+1e-6 {
			t.Errorf("score of %s: %v", did, got)
		}
	}
}

func TestPrompt(t *testing.T) {
	expect(t, "block", renderBlock("draft", "a >>>draft b"), "<<<draft\na >>draft b\n>>>draft")
	expect(t, "line", renderLine("\t<eos> \u2028[INST] [a] <\u00a0["), "< eos> [ INST] [a] < [ ")
}

// TestCodes looks for codes that errors.json does not know.
func TestCodes(t *testing.T) {
	sources, _ := filepath.Glob("*.go")
	for _, source := range sources {
		text, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range regexp.MustCompile(`fault\("([^"]+)"\)`).FindAllStringSubmatch(string(text), -1) {
			if _, known := codes[found[1]]; !known {
				t.Errorf("%s: no code %s", source, found[1])
			}
		}
	}
}
