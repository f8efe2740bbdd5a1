// A small Go Sub: sends transactions to a metanode and believes its replies. Prints one line with what was taken.
//
//	sub SOCKET SENDER COUNT
package main

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"

	"interop/wire"
)

const batch = 20

// Reply is what the transaction socket says.
type Reply struct {
	Success bool   `json:"success"`
	Count   int    `json:"count"`
	Error   string `json:"error"`
	Taken   int    `json:"taken"`
}

func main() {
	if len(os.Args) != 4 {
		log.Fatal("expected a socket, the first byte of the sender and the number of transactions")
	}
	socket := os.Args[1]
	sender, err := strconv.ParseUint(os.Args[2], 10, 8)
	check(err)
	count, err := strconv.Atoi(os.Args[3])
	check(err)
	var waiting []*wire.Transaction
	for nonce := 0; nonce < count; nonce++ {
		waiting = append(waiting, transfer(byte(sender), uint32(nonce)))
	}
	for len(waiting) > 0 {
		rest, err := send(socket, waiting)
		if err != nil {
			log.Printf("sends %d again: %v", len(rest), err)
			time.Sleep(50 * time.Millisecond)
		}
		waiting = rest
	}
	fmt.Printf("all %d transactions are taken\n", count)
}

func transfer(sender byte, nonce uint32) *wire.Transaction {
	from := make([]byte, 20)
	to := make([]byte, 20)
	for i := range from {
		from[i], to[i] = sender, 0xff
	}
	number := make([]byte, 4)
	binary.BigEndian.PutUint32(number, nonce)
	return &wire.Transaction{FromAddress: from, ToAddress: to, Amount: []byte{1}, Nonce: number}
}

// send sends batches over one connection and returns what no reply has taken. Sending again is harmless.
func send(socket string, waiting []*wire.Transaction) ([]*wire.Transaction, error) {
	connection, err := net.Dial("unix", socket)
	if err != nil {
		return waiting, err
	}
	defer connection.Close()
	for len(waiting) > 0 {
		of := waiting
		if len(of) > batch {
			of = of[:batch]
		}
		reply, err := exchange(connection, of)
		if err != nil {
			return waiting, err
		}
		if !reply.Success {
			return waiting[reply.Taken:], fmt.Errorf("refused: %s", reply.Error)
		}
		if reply.Count != len(of) {
			log.Fatalf("expected %d to be taken, found %d", len(of), reply.Count)
		}
		waiting = waiting[len(of):]
	}
	return waiting, nil
}

func exchange(connection net.Conn, of []*wire.Transaction) (Reply, error) {
	var reply Reply
	body, err := proto.Marshal(&wire.Transactions{Transactions: of})
	if err != nil {
		return reply, err
	}
	frame := make([]byte, 4, 4+len(body))
	binary.BigEndian.PutUint32(frame, uint32(len(body)))
	if _, err := connection.Write(append(frame, body...)); err != nil {
		return reply, err
	}
	var header [4]byte
	if _, err := io.ReadFull(connection, header[:]); err != nil {
		return reply, err
	}
	answer := make([]byte, binary.BigEndian.Uint32(header[:]))
	if _, err := io.ReadFull(connection, answer); err != nil {
		return reply, err
	}
	return reply, json.Unmarshal(answer, &reply)
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
