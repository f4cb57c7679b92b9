package wallet

import "strconv"

// The bounds of metadata.
const (
	MaxMetadataKeys = 20
	// MaxMetadataKey and MaxMetadataValue are in bytes.
	MaxMetadataKey = 40
	// MaxMetadataValue is in bytes.
	MaxMetadataValue = 256
	// MaxMetadata is the whole, in bytes, as it is recorded: JSON, in which <, > and & are escaped.
	MaxMetadata = 2048
)

// canonical is metadata as they are recorded: a JSON object with its names in order; empty for none.
func canonical(metadata map[string]string) (string, error) {
	if len(metadata) == 0 {
		return "", nil
	}
	if len(metadata) > MaxMetadataKeys {
		return "", refuse(CodeInvalidRequest, "metadata: %d keys are more than %d", len(metadata), MaxMetadataKeys)
	}
	for key, value := range metadata {
		if err := checkText("metadata: a key", key, 1, MaxMetadataKey); err != nil {
			return "", err
		}
		if err := checkText("metadata: "+strconv.Quote(key), value, 0, MaxMetadataValue); err != nil {
			return "", err
		}
	}
	text := string(mustJSON(metadata)) // of a map, with its names in order
	if len(text) > MaxMetadata {
		return "", refuse(CodeInvalidRequest, "metadata: %d bytes of JSON are more than %d", len(text), MaxMetadata)
	}
	return text, nil
}

// hashWith hashes fields, and metadata where there are any: a request without hashes as it did before there were.
func hashWith(metadata string, fields ...string) [32]byte {
	if metadata != "" {
		fields = append(fields, metadata)
	}
	return hashFields(fields...)
}
