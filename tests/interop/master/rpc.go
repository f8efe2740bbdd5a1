package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"

	"google.golang.org/protobuf/proto"

	"interop/wire"
)

const rpcLimitBytes = 10 << 20

// answerRequests serves one connection: 4 bytes of length, big-endian, then Request; the same for Response, in order.
func (m *Master) answerRequests(connection net.Conn) error {
	for {
		var header [4]byte
		_, err := io.ReadFull(connection, header[:])
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		length := binary.BigEndian.Uint32(header[:])
		if length == 0 || length > rpcLimitBytes {
			return fmt.Errorf("expected a request of 1 to %d bytes, found %d", rpcLimitBytes, length)
		}
		body := make([]byte, length)
		if _, err := io.ReadFull(connection, body); err != nil {
			return err
		}
		var request wire.Request
		if err := proto.Unmarshal(body, &request); err != nil {
			return err
		}
		response, err := m.answer(&request)
		if err != nil {
			log.Printf("refuses %v: %v", &request, err)
			response = &wire.Response{Payload: &wire.Response_Error{Error: err.Error()}}
		}
		reply, err := proto.Marshal(response)
		if err != nil {
			return err
		}
		binary.BigEndian.PutUint32(header[:], uint32(len(reply)))
		if _, err := connection.Write(append(header[:], reply...)); err != nil {
			return err
		}
	}
}

func (m *Master) answer(request *wire.Request) (*wire.Response, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	epoch, _ := m.currentEpoch()
	switch asked := request.Payload.(type) {
	case *wire.Request_GetLastBlockNumber:
		// Otherwise the last blocks before a pause would never become durable.
		if err := m.chain.Flush(); err != nil {
			return nil, err
		}
		number := &wire.LastBlockNumber{LastBlockNumber: m.chain.Durable()}
		return &wire.Response{Payload: &wire.Response_LastBlockNumber{LastBlockNumber: number}}, nil
	case *wire.Request_GetCurrentEpoch:
		current := &wire.CurrentEpoch{Epoch: epoch}
		return &wire.Response{Payload: &wire.Response_CurrentEpoch{CurrentEpoch: current}}, nil
	case *wire.Request_GetActiveValidators:
		return m.validators(epoch)
	case *wire.Request_GetValidatorsAtBlock:
		block := asked.GetValidatorsAtBlock.BlockNumber
		if block > m.chain.Durable() {
			return nil, fmt.Errorf("block %d has not been committed to DB yet", block)
		}
		return m.validators(m.epochOf(block))
	case *wire.Request_GetEpochStartTimestamp:
		start, err := m.startOf(asked.GetEpochStartTimestamp.Epoch)
		if err != nil {
			return nil, err
		}
		timestamp := &wire.EpochStartTimestamp{TimestampMs: m.startMs(start)}
		return &wire.Response{Payload: &wire.Response_EpochStartTimestamp{EpochStartTimestamp: timestamp}}, nil
	case *wire.Request_GetEpochBoundaryData:
		start, err := m.startOf(asked.GetEpochBoundaryData.Epoch)
		if err != nil {
			return nil, err
		}
		data := &wire.EpochBoundaryData{
			Epoch:                 start.Epoch,
			EpochStartTimestampMs: m.startMs(start),
			BoundaryBlock:         start.Boundary,
			Validators:            m.config.Validators,
		}
		return &wire.Response{Payload: &wire.Response_EpochBoundaryData{EpochBoundaryData: data}}, nil
	case *wire.Request_AdvanceEpoch:
		return m.advance(asked.AdvanceEpoch, epoch)
	case *wire.Request_GetBlocksRange:
		return m.blocks(asked.GetBlocksRange)
	default:
		return nil, fmt.Errorf("%T is not served", asked)
	}
}

func (m *Master) validators(epoch uint64) (*wire.Response, error) {
	start, err := m.startOf(epoch)
	if err != nil {
		return nil, err
	}
	list := &wire.ValidatorInfoList{
		Validators:          m.config.Validators,
		EpochTimestampMs:    m.startMs(start),
		LastGlobalExecIndex: m.chain.Durable(),
	}
	return &wire.Response{Payload: &wire.Response_ValidatorInfoList{ValidatorInfoList: list}}, nil
}

// advance enters an epoch once; the same request again gets the same reply.
func (m *Master) advance(asked *wire.AdvanceEpoch, current uint64) (*wire.Response, error) {
	start := EpochStart{
		Epoch:    asked.NewEpoch,
		Seconds:  asked.EpochStartTimestampMs / 1000,
		Boundary: asked.BoundaryBlock,
	}
	known, err := m.startOf(asked.NewEpoch)
	switch {
	case err == nil && known != start:
		return nil, fmt.Errorf("epoch %d began as %v, not as %v", asked.NewEpoch, known, start)
	case err == nil: // The reply was lost.
	case asked.NewEpoch != current+1:
		return nil, fmt.Errorf("epoch %d does not follow epoch %d", asked.NewEpoch, current)
	case start.Seconds == 0:
		return nil, fmt.Errorf("epoch %d has no start timestamp", asked.NewEpoch)
	case asked.BoundaryBlock != m.chain.Durable() || m.chain.Executed() != m.chain.Durable():
		return nil, fmt.Errorf("block %d is the boundary, %d are executed and %d durable",
			asked.BoundaryBlock, m.chain.Executed(), m.chain.Durable())
	default:
		if err := m.chain.Enter(start); err != nil {
			return nil, err
		}
		log.Printf("enters epoch %d after gei=%d", asked.NewEpoch, asked.BoundaryBlock)
	}
	entered := &wire.EpochAdvanced{NewEpoch: asked.NewEpoch, EpochStartTimestampMs: start.Seconds * 1000}
	return &wire.Response{Payload: &wire.Response_AdvanceEpoch{AdvanceEpoch: entered}}, nil
}

func (m *Master) blocks(asked *wire.GetBlocksRange) (*wire.Response, error) {
	if asked.From == 0 || asked.From > asked.To {
		return nil, fmt.Errorf("%d to %d is no range", asked.From, asked.To)
	}
	reply := &wire.BlocksRange{}
	if asked.From > m.chain.Durable() {
		reply.Error = fmt.Sprintf("block %d has not been committed to DB yet", asked.From)
	}
	bytes := 0
	for gei := asked.From; gei <= asked.To && gei <= m.chain.Durable() && bytes < rpcLimitBytes/2; gei++ {
		block, err := m.chain.Block(gei)
		if err != nil {
			return nil, err
		}
		bytes += len(block.RawBlockBytes)
		reply.Blocks = append(reply.Blocks, block)
	}
	reply.Count = uint64(len(reply.Blocks))
	return &wire.Response{Payload: &wire.Response_BlocksRange{BlocksRange: reply}}, nil
}

func (m *Master) currentEpoch() (uint64, EpochStart) {
	epoch := uint64(len(m.chain.starts))
	if epoch == 0 {
		return 0, EpochStart{}
	}
	return epoch, m.chain.starts[epoch-1]
}

func (m *Master) startOf(epoch uint64) (EpochStart, error) {
	current, _ := m.currentEpoch()
	if epoch > current {
		return EpochStart{}, fmt.Errorf("epoch %d has not begun, the current one is %d", epoch, current)
	}
	if epoch == 0 {
		return EpochStart{}, nil
	}
	return m.chain.starts[epoch-1], nil
}

// epochOf is the epoch of a block that was executed.
func (m *Master) epochOf(gei uint64) uint64 {
	epoch := uint64(len(m.chain.starts))
	for epoch > 0 && m.chain.starts[epoch-1].Boundary >= gei {
		epoch--
	}
	return epoch
}

func (m *Master) startMs(start EpochStart) uint64 {
	if start.Epoch == 0 {
		return m.config.GenesisTimestampMs
	}
	return start.Seconds * 1000
}
