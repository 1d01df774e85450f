package main

// Chapter 16: outputs in chunks.

func chunkCount(bytes int64) int {
	size := int64(limits.ChunkBytes)
	return int((bytes + size - 1) / size)
}

// splitArtifact is ART-1, for as many URIs as there are chunks.
func splitArtifact(data []byte, uris []string) object {
	chunks := []any{}
	for i, uri := range uris {
		start := min(len(data), i*limits.ChunkBytes)
		end := min(len(data), start+limits.ChunkBytes)
		chunks = append(chunks, object{{"digest", digest(data[start:end])}, {"uri", uri}})
	}
	return object{{"digest", digest(data)}, {"bytes", int64(len(data))}, {"chunks", chunks}}
}

// joinArtifact is ART-2 and ART-3.
func joinArtifact(artifact object, chunks [][]byte) ([]byte, error) {
	named := artifact.list("chunks")
	if len(named) != len(chunks) {
		return nil, fault("artifact.mismatch")
	}
	data := []byte{}
	for i, chunk := range chunks {
		left := artifact.integer("bytes") - int64(i)*int64(limits.ChunkBytes)
		if int64(len(chunk)) != min(left, int64(limits.ChunkBytes)) || digest(chunk) != named[i].(object).text("digest") {
			return nil, fault("artifact.mismatch")
		}
		data = append(data, chunk...)
	}
	if digest(data) != artifact.text("digest") {
		return nil, fault("artifact.mismatch")
	}
	return data, nil
}
