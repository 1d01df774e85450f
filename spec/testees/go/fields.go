package main

// The tables of fields of chapters 02, 04, 06 to 08, 11 and 16, in a notation close to theirs: a member is a name and
// a type, optional members end in ?, T[a..b] is an array, T/U a choice, a..b an integer, Text(a..b) a text of so many
// characters, and words in lower case are the only texts allowed.

// scalarPatterns are whole texts. The library reads ^ and $ as MSG-16 says.
var scalarPatterns = map[string]string{
	"Version":   `^[1-9][0-9]{0,3}$`,
	"Token":     `^[a-z0-9][a-z0-9_.-]{0,63}$`,
	"Key32":     `^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$`,
	"Sealed":    `^[A-Za-z0-9_-]+$`,
	"StageId":   `^[a-z0-9][a-z0-9_-]{0,31}$`,
	"StageKind": `^(generate|chat|embed|echo)$`,
}

var scalarTypes = map[string]string{
	"Count":     "0..9007199254740991",
	"Millis":    "0..9007199254740991",
	"Attempt":   "1..1000",
	"Lease":     "1000..3600000",
	"Name":      "Text(1..64)",
	"Line":      "Text(0..300)",
	"Text":      "Text(0..16000)",
	"Uri":       "Text(3..300)",
	"Did":       "Text(56..56)",
	"Digest":    "Text(43..43)",
	"Nonce":     "Text(22..22)",
	"Signature": "Text(86..86)",
	"StageRef":  "Text(1..32)",
	"Weights":   "Text(0..71)",
	"Plain":     "Text(0..8388608)",
}

var objectTypes = map[string]string{
	"Envelope": `clawnet Version, type Text(1..64), sender Did, kid Did, room Uri, sent_ms Millis, expires_ms Millis,
		nonce Nonce, body Any, recipients? Did[1..16], thread? Digest, answers? Digest, critical? Token[1..16],
		extensions? Extensions`,

	"identity.rotate": `chain Link[1..16], next_key_digest Digest`,
	"identity.revoke": `chain Link[0..16], since_ms Millis, reason? Line`,
	"Link":            `key Did, commitment Signature, since_ms Millis`,

	"presence.announce": `revision Count, name Name, kind human|ai|hybrid|system, role Token, description? Line,
		software Name, versions Version[1..8], addresses Address[1..4], next_key_digest Digest, seal_key Key32,
		capabilities StageKind[0..8], models ModelCard[0..16], wants Token[0..16], offers Token[0..16],
		compute? Compute, region? Token, load Load, limits Limits, confirmed Confirmed[0..8]`,
	"presence.leave": `revision Count, reason? Line`,
	"Address":        `uri Uri, device? Text(0..255)`,
	"ModelCard": `name Name, digest? Weights, context_tokens? Count, quantization? Name,
		kinds StageKind[1..4]`,
	"Compute":   `cpu_cores Count, memory_mib Count, gpus? Name[0..8]`,
	"Load":      `running Count, waiting Count, slots Count`,
	"Limits":    `open_to nobody|listed|room, prompt_bytes Count, output_tokens Count, tokens_per_minute Count`,
	"Confirmed": `peer Did, at_ms Millis, rtt_ms Count`,

	"handshake.hello":   `versions Version[1..8], address Address`,
	"handshake.accept":  `version Version, versions Version[1..8], address Address`,
	"handshake.confirm": `version Version`,

	"task.request": `title Line, inputs Input[1..8], stages Stage[1..16], privacy public|sealed, lease_ms Lease,
		hops 0..8, parent? Digest, preferences? Preferences, on_behalf_of? OnBehalfOf`,
	"Input":    `name StageId, digest Digest, text? Text`,
	"Stage":    `id StageId, kind StageKind, prompt TextPart/DataPart[1..32], parameters Parameters, needs? Needs`,
	"TextPart": `part text, text Text`,
	"DataPart": `part data, source StageRef, form line|block`,
	"Parameters": `max_tokens 1..8192, temperature_milli 0..5000, top_p_milli 1..1000, seed 0..4294967295,
		stop Name[0..8]`,
	"Needs":       `model? Name, model_digest? Weights, context_tokens? Count, memory_mib? Count`,
	"Preferences": `models? Name[0..8], roles? Token[0..8], regions? Token[0..8], trusted? Did[0..16]`,
	"OnBehalfOf":  `address Uri, event Text(1..255), text_digest Digest`,

	"task.offer":  `stages StageOffer[1..16]`,
	"StageOffer":  `stage StageRef, model? Name, model_digest? Weights, wait_ms Count`,
	"task.award":  `stage StageRef, attempt Attempt, lease_ms Lease, inputs? SealedInput[1..16]`,
	"SealedInput": `source StageRef, digest Digest, sealed? Sealed, artifact? Artifact`,
	"task.start":  `stage StageRef, attempt Attempt, model? Name`,
	"task.progress": `stage StageRef, attempt Attempt, index Count, tokens Count, offset Count, text? Text,
		sealed? Sealed`,
	"task.ask":   `stage StageRef, attempt Attempt, question Text`,
	"task.reply": `stage StageRef, attempt Attempt, text Text`,
	"task.result": `stage StageRef, attempt Attempt, award Digest, inputs InputDigest[0..16], model? Name,
		model_digest? Weights, parameters Parameters, output_digest Digest, text? Text, sealed? Sealed,
		artifact? Artifact, media_type Text(3..64), finish stop|length, usage Usage`,
	"InputDigest": `source StageRef, digest Digest`,
	"Usage":       `prompt_tokens Count, output_tokens Count, queued_ms Count, prompt_ms Count, generate_ms Count`,
	"task.fail":   `stage StageRef, attempt Attempt, code Token, message Line, retryable Bool`,
	"task.cancel": `reason? Line`,
	"task.close": `outcome completed|failed, accepted Accepted[0..16], executions Count, code? Token,
		message? Line`,
	"Accepted": `stage StageRef, attempt Attempt, executor Did, result Digest, output_digest Digest`,

	"Artifact": `digest Digest, bytes 1..16777216, chunks Chunk[1..64]`,
	"Chunk":    `digest Digest, uri Uri`,

	"Header": `clawnet_transcript 1, created_ms Millis, recorder Line, link Digest`,
	"Entry": `transport Text(0..64), plane room|direct, room Line, sender Line, event_id Line, event Plain,
		received_ms Millis, link Digest`,
}
