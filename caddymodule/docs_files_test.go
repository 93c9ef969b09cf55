package caddymodule

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// exampleFiles makes the files that the examples of the documents name, and returns where they are.
func exampleFiles(t *testing.T) map[string]string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	authority, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	directory := t.TempDir()
	files := make(map[string]string)
	for name, block := range map[string]*pem.Block{
		"/etc/gateway/client.pem": {Type: "PRIVATE KEY", Bytes: private},
		"/etc/gateway/ca.pem":     {Type: "CERTIFICATE", Bytes: authority},
	} {
		files[name] = filepath.Join(directory, filepath.Base(name))
		if err := os.WriteFile(files[name], pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return files
}
