// Prints frames as Go writes them: a name, a space, the bytes in hex. The numbers and bytes in them are those of the Rust
// test that compares them, tests/tests/golden_frames.rs.
package main

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"log"

	"golang.org/x/crypto/sha3"
	"google.golang.org/protobuf/proto"

	"interop/wire"
)

// repeated returns so many bytes of a value.
func repeated(value byte, count int) []byte {
	bytes := make([]byte, count)
	for i := range bytes {
		bytes[i] = value
	}
	return bytes
}

func encoded(message proto.Message) []byte {
	bytes, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	if err != nil {
		log.Fatal(err)
	}
	return bytes
}

// prefixed is the framing of the executor RPC and the transaction socket.
func prefixed(message proto.Message) []byte {
	body := encoded(message)
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	return append(frame, body...)
}

// streamed is the framing of the block stream.
func streamed(message proto.Message) []byte {
	body := encoded(message)
	frame := binary.AppendUvarint(nil, uint64(len(body)))
	return append(frame, body...)
}

func show(name string, bytes []byte) {
	fmt.Printf("%s %s\n", name, hex.EncodeToString(bytes))
}

func main() {
	accessList := []*wire.AccessTuple{{Address: repeated(31, 20), StorageKeys: [][]byte{repeated(32, 32), repeated(33, 32)}}}
	transaction := &wire.Transaction{
		ToAddress: repeated(1, 20), Amount: []byte{1, 0}, MaxGas: 4, MaxGasPrice: 5, MaxTimeUse: 6, Data: repeated(7, 200),
		RelatedAddresses: [][]byte{repeated(8, 20), repeated(9, 20)}, LastDeviceKey: repeated(10, 32),
		NewDeviceKey: repeated(11, 32), Sign: repeated(12, 96), Nonce: []byte{0, 0, 0, 13}, FromAddress: repeated(14, 20),
		ReadOnly: true, ChainID: 1 << 40, Type: 16, R: repeated(17, 32), S: repeated(18, 32), V: []byte{19},
		GasTipCap: []byte{20}, GasFeeCap: []byte{21}, AccessList: accessList,
	}
	small := &wire.Transaction{FromAddress: repeated(14, 20)}
	show("transaction", encoded(transaction))
	show("transactions", prefixed(&wire.Transactions{Transactions: []*wire.Transaction{transaction, small}}))
	hasher := sha3.NewLegacyKeccak256()
	hasher.Write(encoded(&wire.TransactionHashData{
		FromAddress: transaction.FromAddress, ToAddress: transaction.ToAddress, Amount: transaction.Amount,
		MaxGas: transaction.MaxGas, MaxGasPrice: transaction.MaxGasPrice, MaxTimeUse: transaction.MaxTimeUse,
		Data: transaction.Data, Type: transaction.Type, LastDeviceKey: transaction.LastDeviceKey,
		NewDeviceKey: transaction.NewDeviceKey, Nonce: transaction.Nonce, ChainID: transaction.ChainID,
		R: transaction.R, S: transaction.S, V: transaction.V, GasTipCap: transaction.GasTipCap,
		GasFeeCap: transaction.GasFeeCap, AccessList: transaction.AccessList,
	}))
	show("transaction-hash", hasher.Sum(nil))

	block := &wire.CommittedEpochData{
		Blocks: []*wire.CommittedBlock{{
			Epoch: 2, Height: 3,
			Transactions: []*wire.TransactionExe{
				{Digest: repeated(1, 300), WorkerId: 0}, {Digest: nil, WorkerId: 1 << 31},
			},
		}},
		GlobalExecIndex: 1<<64 - 1, CommitIndex: 1<<32 - 1, Epoch: 2, CommitTimestampMs: 1_700_000_000_123,
		LeaderAuthorIndex: 300, LeaderAddress: repeated(9, 20),
	}
	show("block", streamed(block))
	show("block-without-transactions", streamed(&wire.CommittedEpochData{
		Blocks: []*wire.CommittedBlock{{Epoch: 0, Height: 1}}, GlobalExecIndex: 1, CommitIndex: 1,
	}))

	request := func(name string, request *wire.Request) { show("request-"+name, prefixed(request)) }
	request("active-validators", &wire.Request{Payload: &wire.Request_GetActiveValidators{GetActiveValidators: &wire.Empty{}}})
	request("validators-at-block", &wire.Request{Payload: &wire.Request_GetValidatorsAtBlock{
		GetValidatorsAtBlock: &wire.GetValidatorsAtBlock{BlockNumber: 7}}})
	request("last-block-number", &wire.Request{Payload: &wire.Request_GetLastBlockNumber{GetLastBlockNumber: &wire.Empty{}}})
	request("current-epoch", &wire.Request{Payload: &wire.Request_GetCurrentEpoch{GetCurrentEpoch: &wire.Empty{}}})
	request("epoch-start-timestamp", &wire.Request{Payload: &wire.Request_GetEpochStartTimestamp{
		GetEpochStartTimestamp: &wire.GetEpoch{Epoch: 8}}})
	request("advance-epoch", &wire.Request{Payload: &wire.Request_AdvanceEpoch{
		AdvanceEpoch: &wire.AdvanceEpoch{NewEpoch: 9, EpochStartTimestampMs: 1_700_000_000_000, BoundaryBlock: 10}}})
	request("epoch-boundary-data", &wire.Request{Payload: &wire.Request_GetEpochBoundaryData{
		GetEpochBoundaryData: &wire.GetEpoch{Epoch: 11}}})
	request("blocks-range", &wire.Request{Payload: &wire.Request_GetBlocksRange{
		GetBlocksRange: &wire.GetBlocksRange{From: 12, To: 13, SkipBytes: 14}}})

	validator := &wire.ValidatorInfo{
		Address: "0x01", Stake: "2", AuthorityKey: "Aw==", ProtocolKey: "BA==", NetworkKey: "BQ==", Name: "six",
		Description: "seven", Website: "eight", Image: "nine", CommissionRate: 10, MinSelfDelegation: "11",
		AccumulatedRewardsPerShare: "12", P2PAddress: "/ip4/127.0.0.1/tcp/13",
	}
	response := func(name string, response *wire.Response) { show("response-"+name, prefixed(response)) }
	response("validators", &wire.Response{Payload: &wire.Response_ValidatorInfoList{ValidatorInfoList: &wire.ValidatorInfoList{
		Validators: []*wire.ValidatorInfo{validator, {Name: "other"}}, EpochTimestampMs: 14, LastGlobalExecIndex: 15}}})
	response("error", &wire.Response{Payload: &wire.Response_Error{Error: "block 3 has not been committed to DB yet"}})
	response("last-block-number", &wire.Response{Payload: &wire.Response_LastBlockNumber{
		LastBlockNumber: &wire.LastBlockNumber{LastBlockNumber: 16}}})
	response("last-block-number-0", &wire.Response{Payload: &wire.Response_LastBlockNumber{
		LastBlockNumber: &wire.LastBlockNumber{}}})
	response("current-epoch", &wire.Response{Payload: &wire.Response_CurrentEpoch{CurrentEpoch: &wire.CurrentEpoch{Epoch: 17}}})
	response("epoch-start-timestamp", &wire.Response{Payload: &wire.Response_EpochStartTimestamp{
		EpochStartTimestamp: &wire.EpochStartTimestamp{TimestampMs: 18}}})
	response("advance-epoch", &wire.Response{Payload: &wire.Response_AdvanceEpoch{
		AdvanceEpoch: &wire.EpochAdvanced{NewEpoch: 19, EpochStartTimestampMs: 20}}})
	response("epoch-boundary-data", &wire.Response{Payload: &wire.Response_EpochBoundaryData{
		EpochBoundaryData: &wire.EpochBoundaryData{Epoch: 21, EpochStartTimestampMs: 22, BoundaryBlock: 23,
			Validators: []*wire.ValidatorInfo{validator}}}})
	response("blocks-range", &wire.Response{Payload: &wire.Response_BlocksRange{BlocksRange: &wire.BlocksRange{
		Blocks: []*wire.BlockData{{
			BlockNumber: 24, BlockHash: repeated(25, 32), Epoch: 26, TimestampMs: 27, ParentHash: repeated(28, 32),
			StateRoot: repeated(29, 32), TransactionsRoot: repeated(30, 32), ReceiptsRoot: repeated(31, 32), GasUsed: 32,
			GasLimit: 33, ExtraData: []byte{34}, RawBlockBytes: encoded(block), BackupData: []byte{35},
		}}, Count: 1}}})
}
