package otlp

import (
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"ossecd/manager/sink"
)

// The messages are few and their fields do not change, so they are written by hand: the generated code would cost each process 1 MB of
// memory. Numbers of fields are those of opentelemetry-proto, logs/v1 and collector/logs/v1. Tests read them by the generated code.

// appendExport appends an ExportLogsServiceRequest: for each run of events of one agent a ResourceLogs with their records.
func appendExport(b []byte, events sink.Batch) (_ []byte, n int) {
	var (
		e       sink.Event
		agent   string
		of      []byte // the Resource of the present run
		records []byte // its LogRecords, as fields of ScopeLogs
	)
	flush := func() {
		if len(records) == 0 {
			return
		}
		scope := appendMessage(nil, 1, appendText(nil, 1, "ossecd")) // InstrumentationScope
		scope = append(scope, records...)
		logs := appendMessage(appendMessage(nil, 1, of), 2, scope)
		b = appendMessage(b, 1, logs)
		records = records[:0]
	}
	for ; events.Next(&e); n++ {
		if now := string(e.ID) + "\x00" + string(e.Name); of == nil || now != agent {
			flush()
			agent, of = now, resource(&e)
		}
		records = appendMessage(records, 2, record(&e))
	}
	flush()
	return b, n
}

// resource is where an event came from.
func resource(e *sink.Event) []byte {
	b := appendAttribute(nil, 1, "service.name", "ossecd")
	if len(e.ID) > 0 {
		b = appendAttribute(b, 1, "host.name", string(e.Name))
		b = appendAttribute(b, 1, "ossec.agent.id", string(e.ID))
	}
	return b
}

// record is a LogRecord.
func record(e *sink.Event) []byte {
	at := uint64(e.Time.UnixNano())
	b := protowire.AppendFixed64(protowire.AppendTag(nil, 1, protowire.Fixed64Type), at) // time
	b = appendMessage(b, 5, value(e.Message))                                            // body
	b = appendAttribute(b, 6, "ossec.location", string(e.Location))
	b = appendAttribute(b, 6, "ossec.queue", string(rune(e.Queue)))
	if len(e.Source) > 0 {
		b = appendAttribute(b, 6, "ossec.source", string(e.Source))
	}
	if len(e.Action) > 0 {
		b = appendAttribute(b, 6, "event.name", string(e.Action))
	}
	return protowire.AppendFixed64(protowire.AppendTag(b, 11, protowire.Fixed64Type), at) // observed time
}

// appendAttribute appends a KeyValue.
func appendAttribute(b []byte, field protowire.Number, key, text string) []byte {
	kv := appendText(nil, 1, key)
	kv = appendMessage(kv, 2, value([]byte(strings.ToValidUTF8(text, "\ufffd"))))
	return appendMessage(b, field, kv)
}

// value is an AnyValue: a string, or the bytes of what is no UTF-8, which protobuf has no strings for.
func value(text []byte) []byte {
	if utf8.Valid(text) {
		return appendMessage(nil, 1, text)
	}
	return appendMessage(nil, 7, text)
}

func appendText(b []byte, field protowire.Number, text string) []byte {
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), text)
}

func appendMessage(b []byte, field protowire.Number, message []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), message)
}

// partialSuccess reads an ExportLogsServiceResponse: how many records are rejected, and why. An answer that is none says that all are
// taken, as its status did.
func partialSuccess(answer []byte) (rejected uint64, message []byte) {
	part := field(answer, 1)
	for len(part) > 0 {
		number, kind, n := protowire.ConsumeTag(part)
		if n < 0 {
			break
		}
		part = part[n:]
		if number == 1 && kind == protowire.VarintType {
			rejected, n = protowire.ConsumeVarint(part)
		} else if number == 2 && kind == protowire.BytesType {
			message, n = protowire.ConsumeBytes(part)
		} else {
			n = protowire.ConsumeFieldValue(number, kind, part)
		}
		if n < 0 {
			break
		}
		part = part[n:]
	}
	return rejected, message
}

// field is the first message with that number.
func field(b []byte, want protowire.Number) []byte {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeField(b)
		if n < 0 {
			return nil
		}
		if number == want && kind == protowire.BytesType {
			_, _, head := protowire.ConsumeTag(b)
			inner, _ := protowire.ConsumeBytes(b[head:])
			return inner
		}
		b = b[n:]
	}
	return nil
}
