/** The API's page: Swagger UI over our own document, without anything from elsewhere. */

const place = /** @type {HTMLElement} */ (document.getElementById("api-docs"));

/** @type {any} */ (window).SwaggerUIBundle({
  url: place.dataset.document,
  domNode: place,
  deepLinking: true,
  validatorUrl: null,
});
