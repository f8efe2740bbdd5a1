package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"

	"interop/wire"
)

// Chain is what was executed: a log of blocks, of which a prefix is synced, and the starts of epochs after the first.
type Chain struct {
	blocks *os.File
	epochs *os.File
	// Where each block begins in the log, and the state after it; block n is at n-1.
	offsets []int64
	roots   [][32]byte
	end     int64
	durable uint64
	// Of the last block.
	timestampMs uint64
	starts      []EpochStart
}

// EpochStart is where an epoch began.
type EpochStart struct {
	Epoch    uint64 `json:"epoch"`
	Seconds  uint64 `json:"seconds"`
	Boundary uint64 `json:"boundary"`
}

// OpenChain reads both files. What a crash left unfinished at their ends is cut off.
func OpenChain(dir string) (*Chain, error) {
	blocks, err := os.OpenFile(filepath.Join(dir, "blocks"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	epochs, err := os.OpenFile(filepath.Join(dir, "epochs"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	chain := &Chain{blocks: blocks, epochs: epochs}
	if err := chain.readBlocks(); err != nil {
		return nil, err
	}
	return chain, chain.readEpochs()
}

func (c *Chain) readBlocks() error {
	for {
		body, err := c.read(c.end)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errTorn) {
			break
		}
		if err != nil {
			return err
		}
		var block wire.CommittedEpochData
		if err := proto.Unmarshal(body, &block); err != nil {
			return err
		}
		c.add(&block, body)
	}
	c.durable = c.Executed()
	if err := c.blocks.Truncate(c.end); err != nil {
		return err
	}
	return c.blocks.Sync()
}

func (c *Chain) readEpochs() error {
	text, err := io.ReadAll(c.epochs)
	if err != nil {
		return err
	}
	whole := text[:bytes.LastIndexByte(text, '\n')+1]
	for _, line := range bytes.Split(bytes.TrimSpace(whole), []byte("\n")) {
		if len(line) == 0 {
			continue
		}
		var start EpochStart
		if err := json.Unmarshal(line, &start); err != nil {
			return err
		}
		c.starts = append(c.starts, start)
	}
	if err := c.epochs.Truncate(int64(len(whole))); err != nil {
		return err
	}
	_, err = c.epochs.Seek(int64(len(whole)), io.SeekStart)
	return err
}

var errTorn = errors.New("a torn block")

// A record is the length of the body, its checksum, and the body.
func (c *Chain) read(offset int64) ([]byte, error) {
	var header [8]byte
	if _, err := c.blocks.ReadAt(header[:], offset); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(header[:4]))
	if _, err := c.blocks.ReadAt(body, offset+8); err != nil {
		return nil, err
	}
	if crc32.ChecksumIEEE(body) != binary.BigEndian.Uint32(header[4:]) {
		return nil, errTorn
	}
	return body, nil
}

func (c *Chain) add(block *wire.CommittedEpochData, body []byte) {
	root := c.Root(c.Executed())
	c.offsets = append(c.offsets, c.end)
	c.roots = append(c.roots, sha256.Sum256(append(root[:], body...)))
	c.end += 8 + int64(len(body))
	c.timestampMs = block.CommitTimestampMs
}

// Append executes a block, which is not durable yet.
func (c *Chain) Append(block *wire.CommittedEpochData, body []byte) error {
	record := make([]byte, 8, 8+len(body))
	binary.BigEndian.PutUint32(record[:4], uint32(len(body)))
	binary.BigEndian.PutUint32(record[4:], crc32.ChecksumIEEE(body))
	if _, err := c.blocks.WriteAt(append(record, body...), c.end); err != nil {
		return err
	}
	c.add(block, body)
	return nil
}

// Flush makes durable what was executed.
func (c *Chain) Flush() error {
	if c.durable == c.Executed() {
		return nil
	}
	if err := c.blocks.Sync(); err != nil {
		return err
	}
	c.durable = c.Executed()
	return nil
}

// Enter records the start of an epoch.
func (c *Chain) Enter(start EpochStart) error {
	line, err := json.Marshal(start)
	if err != nil {
		return err
	}
	if _, err := c.epochs.Write(append(line, '\n')); err != nil {
		return err
	}
	if err := c.epochs.Sync(); err != nil {
		return err
	}
	c.starts = append(c.starts, start)
	return nil
}

// Executed is the last executed block.
func (c *Chain) Executed() uint64 { return uint64(len(c.offsets)) }

// Durable is W.
func (c *Chain) Durable() uint64 { return c.durable }

// Root is the state after a block.
func (c *Chain) Root(gei uint64) [32]byte {
	if gei == 0 {
		return [32]byte{}
	}
	return c.roots[gei-1]
}

// Block returns an executed block.
func (c *Chain) Block(gei uint64) (*wire.BlockData, error) {
	if gei == 0 || gei > c.Executed() {
		return nil, fmt.Errorf("block %d does not exist", gei)
	}
	body, err := c.read(c.offsets[gei-1])
	if err != nil {
		return nil, err
	}
	var block wire.CommittedEpochData
	if err := proto.Unmarshal(body, &block); err != nil {
		return nil, err
	}
	root := c.Root(gei)
	hash := sha256.Sum256(body)
	var parent [32]byte
	if gei > 1 {
		before, err := c.read(c.offsets[gei-2])
		if err != nil {
			return nil, err
		}
		parent = sha256.Sum256(before)
	}
	return &wire.BlockData{
		BlockNumber:   gei,
		BlockHash:     hash[:],
		ParentHash:    parent[:],
		Epoch:         block.Epoch,
		TimestampMs:   block.CommitTimestampMs,
		StateRoot:     root[:],
		RawBlockBytes: body,
	}, nil
}
