package main

// The tables of the specification, read at run time so that they are said once.

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

type typeRow struct {
	Family     string   `json:"family"`
	Planes     []string `json:"planes"`
	Sender     string   `json:"sender"`
	Recipients string   `json:"recipients"`
	Thread     string   `json:"thread"`
	Answers    string   `json:"answers"`
	LifetimeMs int64    `json:"lifetime_ms"`
	SkewMs     int64    `json:"skew_ms"`
}

type stateTable struct {
	Initial     string                       `json:"initial"`
	Order       []string                     `json:"order"`
	Transitions map[string]map[string]string `json:"transitions"`
}

type limitTable struct {
	CarrierBytes    int   `json:"carrier_bytes"`
	EnvelopeBytes   int   `json:"envelope_bytes"`
	Depth           int   `json:"depth"`
	Nodes           int   `json:"nodes"`
	KeyCharacters   int   `json:"key_characters"`
	Integer         int64 `json:"integer"`
	InlineTextBytes int   `json:"inline_text_bytes"`
	ChunkBytes      int   `json:"chunk_bytes"`
}

var (
	types  map[string]typeRow
	states map[string]stateTable
	codes  map[string]any
	limits limitTable
)

// specFolder is CLAWNET_SPEC, or the folder two levels above this source file.
func specFolder() string {
	if folder := os.Getenv("CLAWNET_SPEC"); folder != "" {
		return folder
	}
	_, source, _, _ := runtime.Caller(0)
	return filepath.Join(filepath.Dir(source), "..", "..")
}

func loadTables() error {
	tables := map[string]any{"types.json": &types, "states.json": &states, "errors.json": &codes, "limits.json": &limits}
	for name, table := range tables {
		text, err := os.ReadFile(filepath.Join(specFolder(), name))
		if err != nil {
			return fmt.Errorf("the tables of the specification are not found, set CLAWNET_SPEC to its folder: %w", err)
		}
		if err := json.Unmarshal(text, table); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// fault is an error code of chapter 09.
type fault string

func (code fault) Error() string { return string(code) }
