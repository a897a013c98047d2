package api

import "sluice"

// encryptionConfiguration is the EncryptionConfiguration structure, in requests and
// answers.
type encryptionConfiguration struct {
	KeyId *string `json:",omitempty" shape:"KeyId"`
	Type  *string `shape:"EncryptionType" required:"true"`
}

func (e *encryptionConfiguration) configuration() *sluice.EncryptionConfiguration {
	if e == nil {
		return nil
	}
	return &sluice.EncryptionConfiguration{KeyID: value(e.KeyId), Type: value(e.Type)}
}

func showEncryption(e sluice.EncryptionConfiguration) *encryptionConfiguration {
	return &encryptionConfiguration{given(e.KeyID), &e.Type}
}
