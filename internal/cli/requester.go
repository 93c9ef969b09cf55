package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddy-multi-session/gateway/internal/admin"
)

// requester answers requests to the administration API. It is a running server, or a database that
// this process has open.
type requester interface {
	http.RoundTripper
	io.Closer

	// origin returns the scheme and host of the requests' URLs.
	origin() string

	// String names the requester in messages.
	String() string
}

// client is a client of the administration API.
type client struct{ requester }

// call sends a request with in as its JSON body, or without a body if in is nil, and returns the
// body of the answer. An answer other than a success is an error with the API's message.
func (c client) call(ctx context.Context, method, path string, query url.Values, in any) ([]byte, error) {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return nil, fmt.Errorf("encode the request: %w", err)
		}
		body = bytes.NewReader(data)
	}
	response, err := c.send(ctx, method, path, query, "application/json", body)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("read the answer of %s: %w", c, err)
	}
	return answer, nil
}

// send sends a request and returns the answer if it is a success. The caller closes its body.
func (c client) send(ctx context.Context, method, path string, query url.Values, contentType string, body io.Reader) (*http.Response, error) {
	target := c.origin() + admin.Root + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := c.RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", c, err)
	}
	if response.StatusCode/100 == 2 {
		return response, nil
	}
	defer response.Body.Close()
	return nil, c.readError(response)
}

// maxErrorBody bounds how many bytes of an error answer are read.
const maxErrorBody = 1 << 20

// apiError is an error answer of the API.
type apiError struct{ said admin.Error }

func (e *apiError) Error() string { return e.said.Error }

func (c client) readError(response *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(response.Body, maxErrorBody))
	if err != nil {
		return fmt.Errorf("read the answer of %s: %w", c, err)
	}
	var said admin.Error
	kind, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if kind == "application/json" && json.Unmarshal(body, &said) == nil && said.Error != "" {
		return &apiError{said}
	}
	if response.StatusCode == http.StatusNotFound {
		return fmt.Errorf("%s does not know %s: it is another program, or a Caddy without this module", c, admin.Root)
	}
	return fmt.Errorf("%s answered %s", c, response.Status)
}

// oneLine returns an error whose text is one line.
func oneLine(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if !strings.Contains(text, "\n") {
		return err
	}
	return errors.New(strings.ReplaceAll(strings.TrimSpace(text), "\n", "; "))
}
