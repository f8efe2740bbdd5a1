package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"

	"google.golang.org/protobuf/proto"

	"interop/wire"
)

const blockLimitBytes = 64 << 20

// readBlocks reads one block stream: an unsigned LEB128 length, then CommittedEpochData.
func (m *Master) readBlocks(connection net.Conn) error {
	reader := bufio.NewReader(connection)
	var previous uint64
	for {
		length, err := binary.ReadUvarint(reader)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if length == 0 || length > blockLimitBytes {
			return fmt.Errorf("expected a block of 1 to %d bytes, found %d", blockLimitBytes, length)
		}
		body := make([]byte, length)
		if _, err := io.ReadFull(reader, body); err != nil {
			return err
		}
		var block wire.CommittedEpochData
		if err := proto.Unmarshal(body, &block); err != nil {
			return err
		}
		if block.GlobalExecIndex <= previous {
			return fmt.Errorf("block %d after block %d on one connection", block.GlobalExecIndex, previous)
		}
		previous = block.GlobalExecIndex
		if err := m.execute(&block, body); err != nil {
			return err
		}
	}
}

func (m *Master) execute(block *wire.CommittedEpochData, body []byte) error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	gei := block.GlobalExecIndex
	if gei <= m.chain.Durable() {
		// The node has asked for the durable block since this process began, or should have.
		return fmt.Errorf("refuses block %d: it is durable, up to %d", gei, m.chain.Durable())
	}
	if gei <= m.chain.Executed() {
		log.Printf("skips gei=%d", gei)
		return nil
	}
	if gei != m.chain.Executed()+1 {
		return fmt.Errorf("refuses block %d: expected %d", gei, m.chain.Executed()+1)
	}
	epoch, start := m.currentEpoch()
	if block.Epoch != epoch {
		return fmt.Errorf("refuses block %d: it is of epoch %d, the current one is %d", gei, block.Epoch, epoch)
	}
	if uint64(block.CommitIndex) != gei-start.Boundary {
		return fmt.Errorf("refuses block %d: commit %d of epoch %d, which began after %d",
			gei, block.CommitIndex, epoch, start.Boundary)
	}
	if block.CommitTimestampMs == 0 || block.CommitTimestampMs < m.chain.timestampMs {
		return fmt.Errorf("refuses block %d: timestamp %d after %d", gei, block.CommitTimestampMs, m.chain.timestampMs)
	}
	if err := m.chain.Append(block, body); err != nil {
		return err
	}
	log.Printf("executes GEI gei=%d", gei)
	if m.chain.Executed()-m.chain.Durable() >= m.config.FlushEveryBlocks {
		return m.chain.Flush()
	}
	return nil
}
