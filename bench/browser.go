package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
)

// browserHeaders are what a browser sends when a script of a page fetches something from its own site.
var browserHeaders = map[string]string{
	"Accept":             "*/*",
	"Accept-Encoding":    "gzip, deflate, br, zstd",
	"Accept-Language":    "en-GB,en;q=0.9",
	"Sec-Ch-Ua":          `"Chromium";v="140"`,
	"Sec-Ch-Ua-Mobile":   "?0",
	"Sec-Ch-Ua-Platform": `"Linux"`,
	"Sec-Fetch-Dest":     "empty",
	"Sec-Fetch-Mode":     "cors",
	"Sec-Fetch-Site":     "same-origin",
	"User-Agent":         "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36",
}

// cookies returns the Cookie header of a browser that is signed in at the server and has so many
// cookies of the app. Nothing that the server answers changes that header any more.
func (s *server) cookies(ctx context.Context, count int) (string, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return "", err
	}
	site, err := url.Parse(s.base)
	if err != nil {
		return "", err
	}
	b := &browser{base: s.base, jar: jar, client: &http.Client{Jar: jar}}
	defer b.client.CloseIdleConnections()
	if s.variant.gated {
		if err := b.signIn(ctx); err != nil {
			return "", err
		}
	} else {
		jar.SetCookies(site, []*http.Cookie{{Name: floorCookie, Value: floorToken, Path: "/"}})
	}
	if _, err := b.fetch(ctx, fmt.Sprintf("/cookies?count=%d", count)); err != nil {
		return "", err
	}
	if err := b.settle(ctx); err != nil {
		return "", err
	}
	return joinCookies(jar.Cookies(site)), b.check(ctx, s.variant, count)
}

// browser keeps cookies as a browser does.
type browser struct {
	base   string
	jar    http.CookieJar
	client *http.Client
}

func (b *browser) signIn(ctx context.Context) error {
	credentials, err := json.Marshal(map[string]string{"username": userName, "password": userPassword})
	if err != nil {
		return err
	}
	request, err := b.request(ctx, http.MethodPost, "/.auth/sign-in/username", strings.NewReader(string(credentials)))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Origin", b.base)
	_, err = b.do(request)
	return err
}

// settle visits a page and its parts until the server has nothing to tell the browser any more.
func (b *browser) settle(ctx context.Context) error {
	const tries = 10
	for range tries {
		page, err := b.request(ctx, http.MethodGet, "/", nil)
		if err != nil {
			return err
		}
		page.Header.Set("Sec-Fetch-Dest", "document")
		page.Header.Set("Sec-Fetch-Mode", "navigate")
		page.Header.Set("Sec-Fetch-Site", "none")
		shown, err := b.do(page)
		if err != nil {
			return err
		}
		part, err := b.fetch(ctx, "/item")
		if err != nil {
			return err
		}
		if len(shown.Cookies()) == 0 && len(part.Cookies()) == 0 {
			return nil
		}
	}
	return errors.New("every answer sets a cookie")
}

// check makes sure that the app sees the account and its own cookies, and nothing else.
func (b *browser) check(ctx context.Context, v variant, count int) error {
	answer, err := b.fetch(ctx, "/seen")
	if err != nil {
		return err
	}
	var got seen
	if err := json.Unmarshal(answer.body, &got); err != nil {
		return err
	}
	user := userName
	own := appCookies(count)
	if v.name == withoutGate {
		user = ""
		own = append(own, &http.Cookie{Name: floorCookie, Value: floorToken})
	}
	sent, want := strings.Split(got.Cookie, "; "), strings.Split(joinCookies(own), "; ")
	slices.Sort(sent)
	slices.Sort(want)
	if got.User != user || !slices.Equal(sent, want) {
		return fmt.Errorf("the app saw %q with the cookies %q; want %q with %q", got.User, sent, user, want)
	}
	return nil
}

// answer is a response whose body has been read.
type answer struct {
	*http.Response
	body []byte
}

func (b *browser) request(ctx context.Context, method, path string, body io.Reader) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, method, b.base+path, body)
	if err != nil {
		return nil, err
	}
	for name, value := range browserHeaders {
		request.Header.Set(name, value)
	}
	return request, nil
}

func (b *browser) fetch(ctx context.Context, path string) (answer, error) {
	request, err := b.request(ctx, http.MethodGet, path, nil)
	if err != nil {
		return answer{}, err
	}
	return b.do(request)
}

// do sends a request. Any answer other than 200 is an error.
func (b *browser) do(request *http.Request) (answer, error) {
	response, err := b.client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: %s: %s", request.Method, request.URL.Path, response.Status, body)
	}
	return answer{response, body}, err
}

func joinCookies(list []*http.Cookie) string {
	var pairs []string
	for _, c := range list {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	return strings.Join(pairs, "; ")
}
