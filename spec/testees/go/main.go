// Command testee answers the requests of spec/testee.md: a peer's core, written from the specification alone.
package main

import (
	"bufio"
	"fmt"
	"os"
)

// lineLimit is that of requests and answers.
const lineLimit = 24 << 20

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "testee:", err)
		os.Exit(1)
	}
}

func run() error {
	if err := loadTables(); err != nil {
		return err
	}
	compileShapes()
	testee := newTestee()
	lines := bufio.NewScanner(os.Stdin)
	lines.Buffer(make([]byte, 1<<16), lineLimit+1)
	for lines.Scan() {
		answer := append(appendJSON(nil, testee.answer(lines.Text())), '\n')
		if _, err := os.Stdout.Write(answer); err != nil {
			return err
		}
	}
	return lines.Err()
}
