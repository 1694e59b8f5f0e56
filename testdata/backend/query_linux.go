package backend

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Series is one that a query in PromQL returns.
type Series struct {
	Labels  map[string]string
	Samples []Sample
}

// Sample is a value of a series, and the time to the millisecond.
type Sample struct {
	At    time.Time
	Value float64
}

// UnmarshalJSON reads [seconds, "value"].
func (s *Sample) UnmarshalJSON(text []byte) error {
	var seconds float64
	var value string
	if err := json.Unmarshal(text, &[]any{&seconds, &value}); err != nil {
		return err
	}
	s.At = time.UnixMilli(int64(seconds*1000 + 0.5))
	var err error
	s.Value, err = strconv.ParseFloat(value, 64)
	return err
}

// PromQL asks VictoriaMetrics or Prometheus. Series of an instant vector have
// one sample; those of a range selector, such as up[1m], all that are stored.
func (s *Server) PromQL(query string) ([]Series, error) {
	response, err := s.post("/api/v1/query", query)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var answer struct {
		Data struct {
			Result []struct {
				Metric map[string]string
				Value  *Sample
				Values []Sample
			}
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return nil, err
	}
	var all []Series
	for _, r := range answer.Data.Result {
		if r.Value != nil {
			r.Values = []Sample{*r.Value}
		}
		all = append(all, Series{r.Metric, r.Values})
	}
	return all, nil
}

// LogsQL asks VictoriaLogs. A record is its fields; _msg is the body.
func (s *Server) LogsQL(query string) ([]map[string]string, error) {
	response, err := s.post("/select/logsql/query", query)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var all []map[string]string
	for lines := json.NewDecoder(response.Body); ; {
		var record map[string]string
		if err := lines.Decode(&record); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, record)
	}
}

// post asks a query and returns the answer, whose status is 200.
func (s *Server) post(path, query string) (*http.Response, error) {
	response, err := http.PostForm(s.URL+path, url.Values{"query": {query}})
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		text, err := io.ReadAll(response.Body)
		return nil, errors.Join(fmt.Errorf("%s: %s: %s", query, response.Status, text), err, response.Body.Close())
	}
	return response, nil
}
