// Package values writes values of any Go type as payloads, for the stores of frameworks whose sessions
// hold such.
//
//	a string, a bool, nil   their JSON
//	an int                  \x01 and its digits
//	any other type          \x00 and its gob, for which the type has to be registered (gob.Register)
//
// Other JSON, as clients of other languages write it, is read as json.Unmarshal reads it into an any.
package values

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"unicode/utf8"
)

const (
	gobData = 0
	intData = 1
)

// Encode writes a value.
func Encode(value any) (data []byte, err error) {
	switch value := value.(type) {
	case int:
		return strconv.AppendInt([]byte{intData}, int64(value), 10), nil
	case string:
		if utf8.ValidString(value) { // JSON would change other bytes
			return json.Marshal(value)
		}
	case nil, bool:
		return json.Marshal(value)
	}
	if data, err = AppendGob([]byte{gobData}, value); err != nil {
		err = fmt.Errorf("a value of type %T: %w", value, err)
	}
	return data, err
}

// Decode reads a value.
func Decode(data []byte) (value any, err error) {
	switch {
	case len(data) == 0:
		return nil, errors.New("no data")
	case data[0] == gobData:
		return ReadGob(data[1:])
	case data[0] == intData:
		return strconv.Atoi(string(data[1:]))
	}
	err = json.Unmarshal(data, &value)
	return value, err
}

// Same tells whether value, which data were written of, is what was stored before; gob writes the
// entries of a map in any order.
func Same(before, data []byte, value any) bool {
	if bytes.Equal(before, data) {
		return true
	}
	was, err := Decode(before)
	return err == nil && reflect.DeepEqual(was, value)
}

// AppendGob writes a value of any type that is registered behind data.
func AppendGob(data []byte, value any) ([]byte, error) {
	buffer := bytes.NewBuffer(data)
	err := gob.NewEncoder(buffer).Encode(&value)
	return buffer.Bytes(), err
}

// ReadGob reads what AppendGob wrote.
func ReadGob(data []byte) (value any, err error) {
	err = gob.NewDecoder(bytes.NewReader(data)).Decode(&value)
	return value, err
}
